/* SPDX-License-Identifier: MIT */
/*
 * What nobody owns: two wait, one or two wake, and KILLS of them are killed
 * before any step. One of
 *
 *     EVENT      src/sync/event.c: set and clear, each time
 *     COND       src/sync/cond.c: each waiter takes one of the items that a
 *                notifier makes; the lock itself is lock.pml, here a swap
 *     SEMAPHORE  src/sync/sem.c without max: take(), give()
 *
 * A wake that the dead did not send, or did not use, is made up for by a look
 * again (src/segment/sleep.c), which is made as late as can be, when nobody
 * else can go on, and EARLY times at any moment.
 *
 *     run holds: -DEVENT
 *     run holds: -DEVENT -DKILLS=2 -DLOOK_AGAIN -DEARLY=1
 *     run breaks: -DEVENT -DKILLS=1
 *     run breaks: -DEVENT -DNO_EPOCH
 *     run breaks: -DEVENT -DWAKE_WHO_WAITED_BEFORE
 *     run breaks: -DEVENT -DSLEEP_BLINDLY
 *     run holds: -DCOND
 *     run holds: -DCOND -DWAKERS=2 -DROUNDS=1
 *     run holds: -DCOND -DKILLS=2 -DLOOK_AGAIN -DEARLY=1
 *     run breaks: -DCOND -DKILLS=1
 *     run breaks: -DCOND -DRELEASE_FIRST
 *     run breaks: -DCOND -DWAKERS=2 -DROUNDS=1 -DFORGET_NEWCOMERS
 *     run breaks: -DCOND -DTRUST_THE_VAIN
 *     run breaks: -DCOND -DSLEEP_ON_THE_NEXT
 *     run holds: -DSEMAPHORE -DWAKERS=2
 *     run holds: -DSEMAPHORE -DKILLS=2 -DLOOK_AGAIN -DEARLY=1
 *     run breaks: -DSEMAPHORE -DKILLS=1
 *     run breaks: -DSEMAPHORE -DKEEP_THE_WAKE
 *     run breaks: -DSEMAPHORE -DFORGET_THE_OTHERS
 */
#ifndef KILLS
#define KILLS 0
#endif
#ifndef EARLY
#define EARLY 0
#endif
#ifndef WAKERS
#define WAKERS 1
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif

#define N (2 + WAKERS) /* 1 and 2 wait, the others wake */

/* The word of the object: two bits, and the epoch, number, or value. */
#define WAITERS 1
#define SET     2 /* of an event */
#define NEW     2 /* of a condition */
#define ONE     4
byte word;
bool asleep[3], dead[N + 1], left[N + 1];
byte kills = KILLS, early = EARLY, idle_looks;

/* What is true. */
byte sets, begun[3];        /* event: how many sets, and when one came */
byte lock, items;           /* condition: `items` is what one waits for */
byte told, consumed;

/* What a sleeper may count on to be awake for. */
#ifdef EVENT
#define is_due (sets > begun[me])
#endif
#ifdef COND
#define is_due (told > consumed)
#endif
#ifdef SEMAPHORE
#define is_due (word / ONE > 0)
#endif

/* futex_wait: only while the word is what was seen */
#ifdef SLEEP_BLINDLY
#define is_same true
#else
#define is_same (word == seen)
#endif

/* rip__sleep(). When all is quiet who has nothing coming may go home. */
inline doze()
{
    atomic {
        if
        :: is_same -> asleep[me] = true
        :: else
        fi
    };
    if
    :: !asleep[me]
#ifdef LOOK_AGAIN
    :: atomic {
           timeout && is_due -> asleep[me] = false; idle_looks++;
           assert(idle_looks <= 4) /* somebody gets on */
       }
    :: atomic { early > 0 && asleep[me] -> early--; asleep[me] = false }
#endif
    :: atomic { timeout && !is_due -> asleep[me] = false; goto home }
    fi
}

/* futex_wake of one, whom the kernel chooses; `woke` says whether */
inline wake_one()
{
    woke = false;
    if
    :: asleep[1] -> asleep[1] = false; woke = true
    :: asleep[2] -> asleep[2] = false; woke = true
    :: else
    fi
}

/* ---- event ------------------------------------------------------------ */

#ifdef NO_EPOCH
#define has_come(now, then) (now & SET)
#else
#define has_come(now, then) ((now & SET) || (now / ONE) != (then / ONE))
#endif

inline wait_event()
{
    /* rip_event_wait() */
    atomic { was = word; begun[me] = (was & SET -> 0 : sets) };
    if
    :: was & SET -> goto home
    :: else
    fi;
    /* wait_clear(), announce() */
    do
    :: seen = word;
       if
       :: has_come(seen, was) -> break
       :: else
       fi;
       if
       :: !(seen & WAITERS) ->
           atomic {
               ok = word == seen;
               if
               :: ok -> word = word | WAITERS; seen = word
               :: else
               fi
           }
       :: else -> ok = true
       fi;
       if
       :: ok -> doze()
       :: else
       fi
    od
}

inline set_event()
{
    seen = word;
#ifndef WAKE_WHO_WAITED_BEFORE
    atomic { seen = word; word = ((word + ONE) | SET) & ~WAITERS; sets++ };
#else
    atomic { word = ((word + ONE) | SET) & ~WAITERS; sets++ };
#endif
    if
    :: seen & WAITERS -> atomic { asleep[1] = false; asleep[2] = false }
    :: else
    fi;
    /* rip_event_clear() */
    atomic { word = word & ~SET }
}

/* ---- condition -------------------------------------------------------- */

inline take_lock()
{
    atomic { lock == 0 || dead[lock] -> lock = me }
}

/* announce(): a turn that fails is begun anew */
inline announce()
{
    atomic { word = word | WAITERS | NEW; seen = word }
}

inline wait_cond()
{
    take_lock();
    do
    :: items > 0 -> break
    :: items == 0 ->
        /* rip_cond_wait() */
#ifdef RELEASE_FIRST
        lock = 0;
        announce();
#else
        announce();
        lock = 0;
#endif
        was = seen / ONE;
        /* sleep_through() */
        do
        :: doze();
           seen = word;
           if
           :: seen / ONE == was -> announce()
           :: else -> break
           fi;
#ifndef SLEEP_ON_THE_NEXT
           if
           :: seen / ONE != was -> break
           :: else
           fi
#endif
        od;
        take_lock()
    od;
    atomic { items--; consumed++; idle_looks = 0 };
    lock = 0
}

/* forget_waiters(): only from the very word */
inline forget_waiters()
{
    atomic {
#ifdef FORGET_NEWCOMERS
        ok = true;
#else
        ok = word == seen;
#endif
        if
        :: ok -> word = word & ~WAITERS
        :: else
        fi
    }
}

/* notify() up to its wake: was_vain(), advance(); `ok`: there is one to send */
inline change_number()
{
    ok = false;
    if
    :: is_vain ->
        is_vain = false; seen = vain;
#ifdef TRUST_THE_VAIN
        ok = true;
        atomic { word = word & ~WAITERS };
#else
        forget_waiters();
#endif
    :: else
    fi;
    atomic {
        told++;
        if
        :: ok || !(word & WAITERS) -> ok = false
        :: else -> word = (word + ONE) & ~NEW; seen = word; ok = true
        fi
    }
}

inline notify()
{
    take_lock();
    items++;
    if
    :: change_number(); /* the wake is left to the release: pay() */
       lock = 0;
       if
       :: ok ->
           atomic { wake_one() };
           is_vain = !woke; vain = (woke -> 0 : seen)
       :: else
       fi
    :: lock = 0;
       change_number();
       if
       :: ok ->
           atomic { wake_one() };
           if
           :: !woke -> forget_waiters()
           :: else
           fi
       :: else
       fi
    fi
}

/* ---- signal semaphore ------------------------------------------------- */

inline wait_semaphore()
{
    ok = false; /* slept */
    do
    :: atomic { /* take(): one swap, or the look at a word that stays */
           seen = word;
           if
           :: seen / ONE > 0 -> word = word - ONE; idle_looks = 0
           :: else
           fi;
#ifdef FORGET_THE_OTHERS
           word = (seen / ONE == 0 -> word | WAITERS : word);
#else
           word = (ok || seen / ONE == 0 -> word | WAITERS : word);
#endif
           was = seen; seen = word
       };
       if
       :: was / ONE > 0 -> break
       :: else -> doze(); ok = true
       fi
    od;
#ifndef KEEP_THE_WAKE
    if
    :: ok && was / ONE > 1 -> atomic { wake_one() }
    :: else
    fi
#endif
}

/* give() of one */
inline give()
{
    atomic { seen = word; word = (word + ONE) & ~WAITERS };
    if
    :: seen & WAITERS -> atomic { wake_one() }
    :: else
    fi
}

/* ---- who does it ------------------------------------------------------ */

proctype waiter(byte me)
{
    byte seen, was;
    bool ok, woke;
    {
#ifdef EVENT
        wait_event();
#endif
#ifdef COND
        wait_cond();
#endif
#ifdef SEMAPHORE
        wait_semaphore();
#endif
home:   atomic { left[me] = true; seen = 0; was = 0; ok = false }
    } unless { dead[me] }
}

proctype waker(byte me)
{
    byte rounds = ROUNDS, seen, vain;
    bool ok, woke, is_vain;
    {
        do
        :: rounds == 0 -> break
        :: rounds > 0 ->
            rounds--;
#ifdef EVENT
            set_event();
#endif
#ifdef COND
            notify();
#endif
#ifdef SEMAPHORE
            give();
#endif
            seen = 0; ok = false; woke = false
        od;
        left[me] = true
    } unless { dead[me] }
}

proctype machine()
{
    byte p;
end:
    do
    :: kills > 0 -> kills = 0 /* enough */
    :: atomic {
           kills > 0 ->
           kills--;
           select(p : 1 .. N);
           if
           :: !dead[p] && !left[p] ->
               dead[p] = true;
               if
               :: p <= 2 -> asleep[p] = false
               :: else
               fi
           :: else
           fi;
           p = 0
       }
    od
}

init
{
    byte i;
    atomic {
        run waiter(1);
        run waiter(2);
        for (i : 3 .. N) {
            run waker(i)
        }
        run machine()
    }
}
