/* SPDX-License-Identifier: MIT */
/*
 * The reader-writer lock of src/sync/rwlock.c: marks of readers against the
 * word of the writer. Two readers, two writers, KILLS of them killed
 * before any step. The writer's lock itself is lock.pml; here it is a swap.
 *
 *     run holds: -DKILLS=1
 *     run breaks: -DKILLS=0 -DCLEAR_AFTER_LOOKING
 *     run breaks: -DKILLS=0 -DPLAIN_MARK
 *     run breaks: -DKILLS=1 -DFORGET_RECOVERED
 *     run breaks: -DKILLS=0 -DFORGET_SET_AGAIN
 *     run breaks: -DKILLS=1 -DCOUNT_THE_DEAD
 *     run holds: -DKILLS=1 -DMARK_FAILS
 *     run breaks: -DKILLS=1 -DMARK_FAILS -DTRUST_READERS
 *
 * A mark is an exchange, hence visible at once; with PLAIN_MARK it waits in a
 * store buffer, while its maker's loads go on.
 */
#define N 4 /* 1, 2 read, 3, 4 write */
#ifndef ROUNDS
#define ROUNDS 1
#endif

byte word;          /* the writer */
bool readers;       /* READERS */
bool suspect;       /* SUSPECT */
bool mark[N + 1], buffered[N + 1], dead[N + 1];

bool reads[N + 1], writes[N + 1], left[N + 1]; /* what is true */
byte kills = KILLS;

#define nobody_writes (!writes[3] && !writes[4])
#define nobody_reads  (!reads[1] && !reads[2])

/* An RMW drains the store buffer of the one who makes it. */
inline drain(i)
{
    mark[i] = mark[i] || buffered[i];
    buffered[i] = false
}

proctype reader(byte me)
{
    byte rounds = ROUNDS;
    bool recovered;
    {
        do
        :: rounds == 0 -> break
        :: rounds > 0 ->
            rounds--;
            /* try_read(): mark() */
#ifdef PLAIN_MARK
            buffered[me] = true;
#else
            mark[me] = true;
#endif
            if
            :: !readers -> atomic { drain(me); readers = true }
            :: else
            fi;
            if
            :: atomic { word == 0 -> reads[me] = true; assert(nobody_writes) }
            :: else ->
                atomic { drain(me); mark[me] = false };
                /* queue_to_read(): takes the word as a writer would */
                atomic {
                    word == 0 || dead[word];
                    recovered = word != 0;
                    word = me
                };
                if
                :: recovered -> suspect = true; recovered = false
                :: else
                fi;
#ifdef MARK_FAILS
                /* -ENOMEM, as its slot is full: it gives the word back. If
                 * it had that from the dead, READERS may stand for nothing. */
                if
                :: word = 0; goto next
                :: skip
                fi;
#endif
                mark[me] = true;
                if
                :: !readers -> readers = true
                :: else
                fi;
                atomic { reads[me] = true; assert(nobody_writes) };
                word = 0
            fi;
            /* release: unmark() */
            reads[me] = false;
            atomic { drain(me); mark[me] = false };
next:       skip
        od;
        left[me] = true
    } unless { dead[me] }
}

proctype writer(byte me)
{
    byte rounds = ROUNDS, i;
    bool found, recovered;
    {
        do
        :: rounds == 0 -> break
        :: rounds > 0 ->
            rounds--;
            atomic {
                word == 0 || dead[word];
                recovered = word != 0;
#ifdef FORGET_RECOVERED
                recovered = false;
#endif
                word = me
            };
            if
            :: recovered -> suspect = true
            :: else
            fi;
#ifdef TRUST_READERS
            if
            :: !recovered && !readers -> goto in
            :: else
            fi;
#else
            if
            :: !readers && !suspect -> goto in
            :: else
            fi;
#endif
            /* expel(): clear, look through the marks, set it again */
expel:
#ifndef CLEAR_AFTER_LOOKING
            readers = false;
#endif
            found = false;
            i = 1;
            do
            :: i > 2 -> break
            :: i <= 2 ->
                if
#ifdef COUNT_THE_DEAD
                :: mark[i] -> found = true
#else
                :: mark[i] -> found = found || !dead[i]
#endif
                :: else
                fi;
                i++
            od;
            i = 0;
            if
            :: found ->
#ifndef FORGET_SET_AGAIN
                readers = true;
#endif
                if
                :: (!mark[1] || dead[1]) || (!mark[2] || dead[2]) ->
#ifdef COUNT_THE_DEAD
                    (!mark[1] && !mark[2]);
#endif
                    goto expel
                :: goto give /* the deadline has come */
                fi
            :: else
            fi;
#ifdef CLEAR_AFTER_LOOKING
            readers = false;
#endif
in:         atomic {
                writes[me] = true;
                assert(nobody_reads);
                assert(!(writes[3] && writes[4]))
            };
            suspect = false; /* told */
            writes[me] = false;
give:       word = 0;
            recovered = false; found = false
        od;
        left[me] = true
    } unless { dead[me] }
}

proctype machine()
{
    byte p;
end:
    do
    :: atomic { buffered[1] -> drain(1) }
    :: atomic { buffered[2] -> drain(2) }
    :: kills > 0 -> kills = 0
    :: atomic {
           kills > 0 -> kills--;
           if
           :: p = 1
           :: p = 2
           :: p = 3
           :: p = 4
           fi;
           if
           :: !dead[p] && !left[p] ->
               drain(p);
               dead[p] = true; reads[p] = false; writes[p] = false
           :: else
           fi;
           p = 0
       }
    od
}

init
{
    atomic {
        run reader(1);
        run reader(2);
        run writer(3);
        run writer(4);
        run machine()
    }
}
