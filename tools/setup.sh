# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# What all of ./dev stands on: messages, packages, build folders.

# A reader that has gone, as head(1) does, is no news.
say() {
  printf '%s\n' "$@" 2>/dev/null
}

# die WHAT [WHAT TO DO]...
die() {
  printf 'dev: %s\n' "$1" >&2
  shift
  [ $# -eq 0 ] || printf '     %s\n' "$@" >&2
  exit 1
}

# Files that do not outlive us, however we end.
scratch=$(mktemp -d "${TMPDIR:-/tmp}/ripstop.XXXXXX") ||
  die "could not make a folder in ${TMPDIR:-/tmp}"
trap 'rm -rf "$scratch"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 141' PIPE
trap 'exit 143' TERM

# quiet WHAT COMMAND...: what the command prints is shown only if it fails.
quiet() {
  what=$1
  shift
  "$@" >"$scratch/log" 2>&1 </dev/null && return
  cat "$scratch/log" >&2
  die "could not $what" "This failed: $*"
}

# read_counts FILE: sets passed, failed and skipped from the last line there
# that says "N passed, N failed", with or without ", N skipped".
read_counts() {
  # shellcheck disable=SC2046 # a list
  set -- $(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed,* *\([0-9]*\).*/\1 \2 \3/p' \
    "$1" | tail -n 1)
  [ $# -ge 2 ] || return
  passed=$1
  failed=$2
  # shellcheck disable=SC2034 # for the caller
  skipped=${3:-0}
}

# say_counts PASSED FAILED SKIPPED
say_counts() {
  if [ "$3" -gt 0 ]; then
    say "$1 passed, $2 failed, $3 skipped"
  else
    say "$1 passed, $2 failed"
  fi
}

# ---- packages ----------------------------------------------------------------

# need HAVE:PACKAGE...: installs those packages of which HAVE is missing.
need() {
  missing=
  for pair; do
    have "${pair%%:*}" || missing="$missing ${pair#*:}"
  done
  # shellcheck disable=SC2086 # a list
  [ -z "$missing" ] || get $missing
}

# A command, a pkg-config file, or what only the compiler can tell.
have() {
  case $1 in
  cc) command -v "${CC:-cc}" >/dev/null ;;
  libc) echo '#include <stdio.h>' | "${CC:-cc}" -E - >/dev/null 2>&1 ;;
  *.hpp) [ -e "$1" ] ;;
  *.pc) pkg-config --exists "${1%.pc}" 2>/dev/null ;;
  *) command -v "$1" >/dev/null ;;
  esac
}

get() {
  command -v apt-get >/dev/null || die "these Debian packages are missing: $*" \
    'There is no apt-get here: please install what corresponds to them.'
  as_root=
  [ "$(id -u)" -eq 0 ] || as_root='sudo -n'
  $as_root true 2>/dev/null || die "these Debian packages are missing: $*" \
    'Only root may install them. Please run this, and then the same again:' \
    "  sudo apt-get update && sudo apt-get install -y $*"
  say "Installing with apt-get: $*"
  # Without lists of packages, or with old ones, the first try fails.
  install_packages "$@" >/dev/null 2>&1 </dev/null && return
  quiet 'fetch the lists of packages' apt_get update
  quiet "install $*" install_packages "$@"
}

install_packages() {
  apt_get install -y --no-install-recommends "$@"
}

# Pattern-Only: else apt-get takes a name that it does not know, as g++ without
# lists, for a regular expression, finds it in others, and is content.
apt_get() {
  $as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get -q -o DPkg::Lock::Timeout=120 -o APT::Cmd::Pattern-Only=true "$@"
}

# ---- build folders -----------------------------------------------------------

# configure FOLDER OPTION...: makes a build folder, unless there is one that
# was made with the same options, by the same compiler, from this folder.
configure() {
  options="$PWD ${CC:-} ${CFLAGS:-} ${LDFLAGS:-} $*"
  [ "$(cat "$1/.options" 2>/dev/null)" = "$options" ] && return
  writable "$1" || die "this user may not write to $PWD/$1"
  remove_build "$1"
  quiet "set up $1" meson setup "$@"
  echo "$options" >"$1/.options"
}

# Whether `mkdir -p` of a folder would succeed.
writable() {
  folder=$1
  while [ ! -e "$folder" ]; do
    folder=$(dirname "$folder")
  done
  [ -w "$folder" ]
}

# What Meson has not made is not ours to remove.
remove_build() {
  [ ! -e "$1" ] || [ -d "$1/meson-private" ] || rmdir "$1" 2>/dev/null ||
    die "$1 is in the way: it is no build folder" 'Please move it away.'
  rm -rf "$1" || die "could not remove the old $PWD/$1"
}

# compile FOLDER: brings up to date what configure made last.
compile() {
  say "Compiling into $1/"
  ninja -C "$1" --quiet >"$scratch/log" 2>&1 </dev/null && return
  cat "$scratch/log" >&2
  die "could not compile into $1/" \
    "If the source is right, start afresh: rm -rf $PWD/$1"
}
