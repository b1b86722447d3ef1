# No input is ever parsed as code, and each arrives whole, wherever its
# placeholder stands. The same scripts are tried with all inputs of a nasty
# kind, by the shell that runs them, and pasted into dash and bash.

== nasty inputs arrive whole in every context
@deadline 60
@needs bash dash cmp
$ cat >make-values <<'END'
> BEGIN {
>     srand(7)
>     n = split("a|b| |\t|\n|'|\"|$|`|\\|(|)|{|}|[|]|*|?|~|!|#|&|;|<|>|=|%|-|/|.|é|\001|\177|$(touch BAD)|`touch BAD`|${x}|$1|$((1))|EOF|'; touch BAD; '|\"; touch BAD; \"|a[$(touch BAD)]|{}", part, "|")
>     part[++n] = "|"
>     part[++n] = ""
>     for (i = 1; i <= n; i++)
>         printf "%s%c", part[i], 0
>     for (i = 0; i < 30; i++) {
>         for (k = 1 + int(rand() * 12); k > 0; k--)
>             printf "%s", part[1 + int(rand() * n)]
>         printf "%c", 0
>     }
> }
> END
$ awk -f make-values >values
$ cat >scripts <<'END'
> printf "%s\0" {}
> printf "%s\0" "{}"
> printf "%s\0" '{}'
> printf "%s\0" ""'{}'""
> printf "%s\0" \{}
> printf "%s\0" a\"b '"' "'" >/dev/null; printf "%s\0" {}
> echo a\ #b "{}" $# "$#" ${#} >/dev/null; printf "%s\0" {} # it's {}
> printf "%s\0" ${u:-{}}
> printf "%s\0" "${u:-{}}"
> printf "%s\0" "${u:-"{}"}"
> printf "%s\0" ${u:-'{}'}
> x={}; printf "%s\0" "$x"
> x='{}'; printf "%s\0" "$x"
> x=$(printf "%sx" {}); printf "%s\0" "${x%x}"
> x="$(printf "%sx" "{}")"; printf "%s\0" "${x%x}"
> x="$(printf '%sx' '{}')"; printf "%s\0" "${x%x}"
> x="$(printf '%s' "$(printf '%sx' {})")"; printf "%s\0" "${x%x}"
> x=`printf "%sx" {}`; printf "%s\0" "${x%x}"
> x="`printf '%sx' '{}'`"; printf "%s\0" "${x%x}"
> f() { printf "%s\0" "$1"; }; f {}
> for i in {}; do printf "%s\0" "$i"; done
> case {} in ?*) printf "%s\0" {};; *) printf '\0';; esac
> if [ $((1 + (2<<1) + 0*{#})) = 5 ]; then (printf "%s\0" {}); fi
> { printf "%s\0" {}; } 2>&1 <&-
> END
$ cat >try <<'END'
> ripstop run -0 -k --shell "$1" :::: values >out && cmp out values
> ripstop run -0 --dry-run --shell "$1" :::: values >commands
> dash commands | cmp - values
> sed 's|^/bin/sh -c|bash -c|' commands | bash | cmp - values
> [ ! -e BAD ]
> END
$ while IFS= read -r script; do sh try "$script" || echo "$script"; done <scripts
$ rm make-values values scripts try out commands
