#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Test of the test: bugs that are planted in a copy of the sources, one at a
time, each of which the kill sweep has to find, or a test of the suite where no
death shows it. Usage: mutants.py [WORD...], those whose name has such a word;
--list only names them, --check only looks whether each can be planted, --step
plays kill-step in place of kill-sweep, --table=FILE writes what has caught
each one into FILE, between two marks.

A mutant is a text in a file, what stands there instead, and where to look for
it: words of the sweep, "kill-step: WORDS", or "PROGRAM_test: TEST". A text that
is not there any more is an error: say what the same mistake would be now."""

import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
COPY = ROOT / "build-mutants"
PROGRAM = "kill-step" if "--step" in sys.argv else "kill-sweep"

# name, file, text, instead, where it is looked for
MUTANTS = [
    # ---- who is dead
    ("nobody-is-dead", "src/segment/life.c",
     "(rip__load(rip__life(d, rip__slot_of(who))) & RIP__OS_DIED) != 0;",
     "false;", "lock"),
    ("everyone-is-dead", "src/segment/life.c",
     "return !is_member(d, who) ||", "return true ||", "lock"),
    ("identity-without-generation", "src/segment/life.c",
     "rip__identity(rip__generation(claim), index) == rip__who(who);",
     "rip__slot_of(who) == index;", "lock"),
    ("life-word-not-on-the-list", "src/segment/member.c",
     "if (me->node)\n        rip__os_life_begin(me->node);", "", "lock"),
    # ---- membership
    ("live-before-introduced", "src/segment/member.c",
     "    introduce(me->slot);\n"
     "    rip__store_relaxed(&me->slot->wanted, me->unfenced ? RIP__UNFENCED "
     ": 0);\n"
     "    begin_life(me);\n"
     "    me->id = rip__identity(generation, me->index);\n"
     "    rip__store(word, claim_word(generation, tid, RIP__LIVE));",
     "    me->id = rip__identity(generation, me->index);\n"
     "    rip__store(word, claim_word(generation, tid, RIP__LIVE));\n"
     "    introduce(me->slot);\n    begin_life(me);", "member join*"),
    ("generation-stays", "src/segment/member.c",
     "uint64_t next = (g > first ? g : first) + 1;",
     "uint64_t next = (g > first ? g : first) + (g == 0);", "lock"),
    ("leaves-without-a-word", "src/segment/member.c",
     "    rip__store(own_life(me), RIP__OS_DIED);\n", "", "member"),
    # ---- the sweep
    ("sweep-frees-nothing", "src/segment/sweep.c",
     "rip__cas(&slot->claim, &claim, rip__generation(claim) << 24);",
     "(void)slot, (void)claim;", "member"),
    ("sweep-frees-first", "src/segment/sweep.c",
     "    struct rip__slot *slot = rip__slot(d, index);\n"
     "    if (rip__phase(claim) == RIP__LIVE) {",
     "    struct rip__slot *slot = rip__slot(d, index);\n"
     "    free_slot(slot, claim);\n"
     "    if (rip__phase(claim) == RIP__LIVE) {", "permits"),
    ("claimed-is-never-dead", "src/segment/sweep.c",
     "return is_claimer_gone(claim);", "return false;", "member join*"),
    ("sweep-forgets-permits", "src/segment/sweep.c",
     "if ((d->shared && !rip__count_sweep(d, index)) || !all)", "if (!all)",
     "permits"),
    ("sweep-forgets-queues", "src/segment/sweep.c",
     "if ((d->shared && !rip__count_sweep(d, index)) || !all)",
     "if (d->shared && !rip__count_sweep(d, index))", "queue"),
    ("sweep-breaks-nothing", "src/segment/sweep.c",
     "break_marked(d, index, claim);", "", "barrier"),
    # ---- sleeping
    ("never-looks-again", "src/segment/sleep.c",
     "    int64_t wait = rip__look_again_ns;",
     "    int64_t wait = RIP_FOREVER / 4;", "cond"),
    # ---- lock
    ("lock-recovers-by-store", "src/sync/lock.c",
     "if (!rip__cas(&a->l->word, &word, a->me->id | (word & RIP__DAMAGED)))",
     "if (dead ? (rip__store(&a->l->word, a->me->id), false)\n"
     "             : !rip__cas(&a->l->word, &word, a->me->id |"
     " (word & RIP__DAMAGED)))", "lock"),
    ("lock-says-no-recovery", "src/sync/lock.c",
     "return dead ? RIP_RECOVERED : 0;", "return 0;", "lock"),
    ("lock-release-without-a-wake", "src/sync/lock.c",
     "    if (rip__load_relaxed(&me->slot->wanted) != 0)\n"
     "        wake_one(me, l);", "", "lock_test: a_release_wakes*"),
    ("lock-robs-the-slow", "src/sync/lock.c",
     "if ((owner != 0 && !dead) || !may_take(a, word))",
     "if ((owner != 0 && !dead && a->since == 0) || !may_take(a, word))",
     "lock"),
    ("lock-try-is-two-steps", "src/sync/lock.c",
     "    if (rip__cas(&l->word, &seen, me->id))\n        return true;",
     "    if (rip__load(&l->word) == seen) {\n"
     "        rip__store(&l->word, me->id);\n        return true;\n    }",
     "lock_test: excludes*"),
    ("lock-sleepers-not-inherited", "src/sync/lock.c",
     "    if (a->since == 0 && !dead && a->heir == 0 && !damaged)\n"
     "        return;",
     "    if (a->me || dead || damaged)\n        return;",
     "lock_test: each_sleeper*"),
    # ---- once, event, condition, signals
    ("once-done-before-it-is", "src/sync/once.c",
     "    int code = fn(arg);\n", "    rip__store(&f->word, id | 0);\n"
     "    rip__store(&f->word, DONE);\n    int code = fn(arg);\n"
     "    rip__store(&f->word, id);\n", "once"),
    ("once-waits-for-the-dead", "src/sync/once.c",
     "*mine = who == 0 || rip__is_dead(me->domain, who);",
     "*mine = who == 0;", "once"),
    ("event-wakes-one", "src/sync/event.c",
     "rip__low(&e->word), RIP__ALL);", "rip__low(&e->word), 1);", "event"),
    ("event-without-epoch", "src/sync/event.c",
     "return now & SET || now / EPOCH_ONE != then / EPOCH_ONE;",
     "return now & SET;", "event"),
    ("notify-changes-no-number", "src/sync/cond.c",
     "(uint32_t)(number(*word) + STEP)", "(uint32_t)number(*word)", "cond"),
    ("notify-without-a-wake", "src/sync/cond.c",
     "        notify(c, n < RIP__ALL ? n : RIP__ALL);",
     "        (void)notify;", "cond"),
    ("signal-without-a-wake", "src/sync/sem.c",
     "        if (word & RIP__WAITERS)\n"
     "            rip__wake(rip__is_shared_here(s), rip__low(&s->word), n);", "",
     "signals"),
    # ---- permits
    ("permit-without-an-intent", "src/segment/count.c",
     "    if (change(l, with_name(to, &l->place, DONE, s)))\n"
     "        return true;",
     "    uint64_t w0 = l->word;\n"
     "    if (rip__cas(&l->count->word, &w0, to))\n        return true;",
     "permits"),
    ("permit-not-settled", "src/segment/count.c",
     "    settle(l);\n    return rip__cas(&l->count->word, &word, to);",
     "    return rip__cas(&l->count->word, &word, to);", "permits"),
    ("permit-given-twice", "src/segment/count.c",
     "        n = 0;\n    return state(n, IDLE, s);",
     "        (void)n;\n    return state(n, IDLE, s);", "permits"),
    ("permits-die-with-their-thread", "src/segment/life.c",
     "return rip__os_process_is_gone(&t);",
     "return rip__os_thread_is_gone(&t);", "permits"),
    ("permit-intent-counts-as-done", "src/segment/count.c",
     "    l->base = outcome(s, kind_of(l->word) == DONE);\n"
     "    if (is_decided(l->word, p, s))\n        return true;",
     "    l->base = outcome(s, true);\n    return true;", "permits"),
    # ---- barrier, latch
    ("barrier-counts-before-its-mark", "src/sync/barrier.c",
     "    if (!rip__mark(me, b, RIP__PARTY, incarnation))\n"
     "        return -ENOMEM;", "", "barrier"),
    ("what-was-before-breaks-the-latch", "src/segment/sweep.c",
     "        bool other =\n"
     "            (rip__load(&f->incarnation) & RIP__INCARNATIONS) != "
     "incarnation;", "        bool other = incarnation == 0;", "latch come,*"),
    # ---- queue
    ("put-aborted-though-it-is-there", "src/message/mend.c",
     "    rip__order_disown(m, owner);\n", "", "queue"),
    ("dead-put-keeps-its-cell", "src/message/mend.c",
     "    case RIP__CELL_FILLED:\n        abort_put(m, b, word);\n",
     "    case RIP__CELL_FILLED:\n        (void)abort_put;\n", "queue"),
    ("lease-comes-back-in-its-version", "src/message/mend.c",
     "rip__cell_version(word) + 1, deaths);",
     "rip__cell_version(word), deaths);", "queue_test: a_lease_ends_once"),
    ("lease-dies-with-its-thread", "src/message/mend.c",
     "bool process_gone = rip__process_is_gone(d, index);",
     "bool process_gone = true;", "queue_test: a_thread_that_ends*"),
    ("lease-of-the-dead-is-free", "src/message/mend.c",
     "            rip__queue_return(m, b, word, true);",
     "            rip__cas(&m->cells[b].word, &word, rip__cell_done(word));",
     "queue"),
    ("way-back-is-half-way", "src/message/mend.c",
     "    case RIP__CELL_BACK:\n        rip__queue_tell_of_return(m, word);\n",
     "    case RIP__CELL_BACK:\n", "queue"),
    ("put-without-a-wake", "src/message/put.c",
     "    else\n        rip__queue_tell(&v->m.q->getters);", "", "queue"),
    ("done-without-a-wake", "src/message/take.c",
     "    rip__queue_tell(&m->q->putters);\n"
     "    rip__queue_tell(&m->q->joiners);",
     "    rip__queue_tell(&m->q->joiners);", "queue"),
    ("end-without-an-entry", "src/message/take.c",
     "        rip__order_end(&v->m);",
     "        (void)v;", "queue close"),
    ("head-jumps-too-far", "src/message/order.c",
     "            h += (ahead << m->bits) - m->mask;",
     "            h += ahead << m->bits;", "queue_test: an_old_hint*"),
    ("entry-before-the-message", "src/message/put.c",
     "    if (len > 0)\n"
     "        memcpy(rip__queue_data(&v->m, (uint32_t)b), msg, len);\n"
     "    return commit(v, (uint32_t)b, len);",
     "    int r = commit(v, (uint32_t)b, len);\n"
     "    if (len > 0)\n"
     "        memcpy(rip__queue_data(&v->m, (uint32_t)b), msg, len);\n"
     "    return r;", "queue"),
    ("an-end-that-can-be-passed", "src/message/order.c",
     "            if (cell != no_cell(m))\n                rip__store_relaxed(",
     "            rip__store_relaxed(", "queue_test: a_draft_ends_once"),
    ("a-watcher-takes-a-wake", "src/message/wait.c",
     "seen & RIP__WATCHES ? RIP__ALL : n", "n",
     "queue_watch_test: processes_those_who_only*"),
    ("order-of-laps-forgotten", "src/message/order.c",
     "    return (position & ~(uint64_t)m->mask) << VERSION_BITS;",
     "    return (position & 0xffffff & ~(uint64_t)m->mask) << VERSION_BITS;",
     "queue_test: a_very_old_hint*"),
    # ---- named segments, names
    ("nobody-waits-for-a-turn", "src/segment/open.c",
     "        if (fd != -EADDRINUSE)\n            return fd;",
     "        if (fd != -EADDRINUSE)\n            return fd;\n"
     "        return rip__os_open(\"/dev/null\", 0, 0);", "named visit"),
    ("a-sign-without-a-segment", "src/segment/open.c",
     "    return r == 0 ? -EAGAIN : r;\n}", "    return -ENOENT;\n}",
     "named"),
    ("names-are-not-sifted", "src/segment/heap.c",
     "    rip__names_sift(w);", "", "names"),
    ("names-outlive-their-blocks", "src/segment/alloc.c",
     "    if (rip__load_relaxed(&w->units[b->unit].named))\n"
     "        rip__names_forget(w, b->begin, b->size);",
     "    (void)w, (void)b;", "names"),
    ("latch-party-without-a-mark", "src/sync/latch.c",
     "    rip__fellow_present(fellowship(l));\n"
     "    if (!(rip__load(&l->word) & RIP__BROKEN))",
     "    rip__unmark(me, mark);\n"
     "    if (!(rip__load(&l->word) & RIP__BROKEN))", "latch"),
]


def run(*command, seconds=None):
    return subprocess.run(command, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False,
                          timeout=seconds)


def pattern(text):
    """The same words, however they are laid out."""
    return r"\s+".join(re.escape(w) for w in text.split())


def prepare():
    tree = COPY / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    shutil.copytree(ROOT, tree, symlinks=True, ignore=shutil.ignore_patterns(
        "build*", ".git"))
    if run("meson", "setup", "--reconfigure", COPY / "build",
           tree).returncode:
        done = run("meson", "setup", COPY / "build", tree)
        if done.returncode:
            sys.exit(done.stdout)
    return tree


def path_of(program):
    """In the build folder."""
    kill = "" if program.endswith("_test") else "kill/"
    return f"tests/{kill}{program}"


def build(program):
    return run("ninja", "-C", str(COPY / "build"), path_of(program))


def play(program, pattern_of_tests):
    """The first test that fails; None: there is none."""
    done = run(str(COPY / "build" / path_of(program)), pattern_of_tests)
    found = re.search(r"^not ok \d+ - (\S+)", done.stdout, re.MULTILINE)
    return f"{program} {found.group(1)}" if found else None


def sweep(program, words):
    """The first bad point; None: there is none."""
    base = [str(COPY / "build" / path_of(program)), "--first", "--deadline=2",
            "--bad=1"]
    words = words.split()
    words += ["*"] * (3 - len(words))
    modes = ("reaped", "[elrstz][ehlotx]*", "*") # the quick ones first
    for mode in (words.pop(),) if len(words) > 3 else modes:
        try:
            done = run(*base, "--pair-shallow=29", *words, mode, seconds=300)
        except subprocess.TimeoutExpired: # who waits in vain has ever more points
            return f"{' '.join(words)} {mode}: comes to no end"
        found = re.search(r"bad: kill-s\w+ (.*)\n\s*(.*)", done.stdout)
        if found:
            return f"{found.group(1)}: {found.group(2)}"
        if "nothing has these names" in done.stdout: # in this mode
            continue
        if done.returncode not in (0, 1):
            return done.stdout[-200:]
    return None


def plant(before, text, instead):
    """With the bug; and how often its place is there."""
    return re.subn(pattern(text), lambda _: instead, before)


def check(mutants):
    bad = [m[0] for m in mutants
           if plant((ROOT / m[1]).read_text(), m[2], m[3])[1] != 1]
    for name in bad:
        print(f"{name}: its text does not stand in its file once")
    return 1 if bad else 0


def try_one(tree, mutant):
    _, file, text, instead, words = mutant
    path = tree / file
    before = path.read_text()
    after, n = plant(before, text, instead)
    if n == 0:
        return False, f"its text is not in {file} any more"
    path.write_text(after)
    program, _, where = words.rpartition(": ")
    program = program or PROGRAM
    try:
        done = build(program)
        if done.returncode:
            return False, "does not compile:\n" + done.stdout[-800:]
        find = play if program.endswith("_test") else sweep
        found = find(program, where)
        return found is not None, found or "SURVIVES"
    finally:
        path.write_text(before)


def write_table(file, results):
    """Between the marks, in place of what is there."""
    rows = "".join(f"| {name} | {what.splitlines()[0]} |\n"
                   for name, what in results)
    begin, end = "<!-- mutants: begin -->\n", "<!-- mutants: end -->\n"
    text = file.read_text()
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    file.write_text(f"{before}{begin}| planted bug | the first to catch it |\n"
                    f"|---|---|\n{rows}{end}{after}")


def main():
    words = [w for w in sys.argv[1:] if not w.startswith("--")]
    chosen = [m for m in MUTANTS
              if not words or any(w in m[0] for w in words)]
    if "--list" in sys.argv:
        print("\n".join(m[0] for m in chosen))
        return 0
    if "--check" in sys.argv:
        return check(chosen)
    tree = prepare()
    caught = 0
    results = []
    for mutant in chosen:
        good, what = try_one(tree, mutant)
        caught += good
        results.append((mutant[0], what))
        print(f"{'caught' if good else 'NOT   '}  {mutant[0]:32} {what}",
              flush=True)
    print(f"{caught} of {len(chosen)} mutants caught")
    for table in (w for w in sys.argv if w.startswith("--table=")):
        write_table(pathlib.Path(table.partition("=")[2]), results)
    return 0 if caught == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
