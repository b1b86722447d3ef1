/* SPDX-License-Identifier: MIT */
/*
 * The lock of src/sync/lock.c: one lock, N members, KILLS of them killed
 * before any step. A step is one access of shared memory or one system call.
 *
 *     run holds: -DN=2 -DROUNDS=2
 *     run holds: -DN=3 -DROUNDS=1
 *     run holds: -DN=3 -DROUNDS=1 -DDEADLINE
 *     run holds: -DN=3 -DROUNDS=1 -DLOOK_AGAIN -DEARLY=1
 *     run holds: -DN=2 -DROUNDS=2 -DKILLS=1 -DLOOK_AGAIN -DEARLY=1
 *     run holds: -DN=3 -DROUNDS=1 -DKILLS=1 -DLOOK_AGAIN -DHEIRS=0
 *     run long: -DN=3 -DROUNDS=1 -DKILLS=2 -DLOOK_AGAIN
 *     run breaks: -DN=2 -DROUNDS=1 -DNO_BARRIER
 *     run breaks: -DN=2 -DROUNDS=2 -DSLEEP_ON_WORD_ALONE
 *     run breaks: -DN=3 -DROUNDS=1 -DNO_INHERITANCE
 *     run breaks: -DN=2 -DROUNDS=1 -DROB_THE_LIVING
 *     run breaks: -DN=3 -DROUNDS=1 -DKILLS=1 -DLOOK_AGAIN -DTAKE_BLINDLY
 *
 * The release is a plain store: `buffered`, until the buffer drains by itself,
 * by the member's own next read-modify-write or system call, or by a waiter's
 * barrier. A kill drains it: a retired store is done.
 *
 * Nobody is ever forced to go on, so each member is also one that is stopped.
 * With DEADLINE the last of them may give up whenever it sleeps.
 */
#ifndef KILLS
#define KILLS 0
#endif
#ifndef EARLY
#define EARLY 0 /* so often one looks again though others could go on */
#endif

#ifndef HEIRS
#define HEIRS 1 /* 0: nobody starves, which makes the search small */
#endif

#define STARVING 8 /* in word */
#define CALLED   8 /* in heir */
#define who(x)   ((x) & 7)

byte word, heir;
bool wanted[N + 1];  /* the lock's bit in each slot */
bool buffered[N + 1]; /* word = 0 is still in this member's store buffer */
bool dead[N + 1];    /* the life words; [0] is never dead */
bool asleep[N + 1];  /* on the word, and on: */
byte owner_of[N + 1]; /* the life word of the owner, */
byte heir_of[N + 1];  /* that of the heir; or on `heir`, if that is itself */

/* What is true, which nobody in the model may look at. */
bool holds[N + 1];
bool left[N + 1];
bool orphaned; /* its holder died, and no other has been told */
byte kills = KILLS, early = EARLY, idle_looks;

inline drain(i)
{
    if
    :: buffered[i] -> buffered[i] = false; word = 0
    :: else
    fi
}

inline drain_all()
{
    for (k : 1 .. N) {
        drain(k)
    }
    k = 0
}

/* The lock is taken, from `from`. */
inline enter(from)
{
    for (k : 1 .. N) {
        assert(!holds[k])
    }
    k = 0;
    assert(who(from) == 0 || dead[who(from)]);
    assert(orphaned == (who(from) != 0)); /* told once, and always */
    orphaned = false;
    holds[me] = true;
    idle_looks = 0
}

/* futex_wake of one: any of them, whatever the order in the kernel. */
inline wake_one(on1, on2, on3)
{
    n = 0;
    if
    :: asleep[1] && on1 -> asleep[1] = false; n = 1
    :: asleep[2] && on2 -> asleep[2] = false; n = 1
    :: N > 2 && asleep[N] && on3 -> asleep[N] = false; n = 1
    :: else
    fi
}
#define on_word    true, true, true
#define on_heir    (heir_of[1] == 1), (heir_of[2] == 2), (heir_of[N] == N)
#define watches(i) (owner_of[i] == p || heir_of[i] == p)
#define on_life    watches(1), watches(2), watches(N)

/* rip__or(&wanted), RMW */
inline set_wanted(i)
{
    atomic { drain(me); wanted[i] = true }
}

/* depose() */
inline depose(whom)
{
    atomic {
        drain(me);
        if
        :: whom != 0 && who(heir) == whom -> heir = 0
        :: else
        fi
    }
}

/* pass_on() of sleep.c */
inline pass_on_death_of(whom)
{
    atomic {
        if
        :: dead[whom] ->
            for (k : 1 .. N) {
                asleep[k] = asleep[k] && owner_of[k] != whom &&
                            heir_of[k] != whom
            }
            k = 0
        :: else
        fi
    }
}

proctype member(byte me)
{
    byte rounds = ROUNDS, w, h, late, k, n, x;
    bool slept, last, came_dead;
    {
        do
        :: rounds == 0 -> break
        :: rounds > 0 ->
            /* take() */
            rounds--;
            slept = false; last = false; late = 0; came_dead = false; h = 0;
            atomic {
                drain(me);
                if
                :: word == 0 -> enter(0); word = me; goto held
                :: else
                fi
            }
look:       /* look(), find_heir() */
            h = heir;
            if
            :: who(h) == me && h != me ->
                atomic {
                    if
                    :: heir == h -> heir = me
                    :: else
                    fi
                };
                h = me
            :: who(h) != me -> h = (dead[who(h)] -> 0 : who(h))
            :: else
            fi;
            w = word;
            came_dead = dead[who(w)];
#ifdef ROB_THE_LIVING
            came_dead = who(w) != 0;
#endif
            if
            :: who(w) != 0 && !came_dead -> goto ask
            :: else
            fi;
            /* may_take() */
            if
            :: who(w) == 0 && (w & STARVING) && h != 0 && h != me && !last ->
                if
                :: h != late -> goto wait
                :: else -> depose(late); h = 0
                fi
            :: else
            fi;
            atomic {
                if
#ifdef TAKE_BLINDLY
                :: true
#else
                :: word == w
#endif
                    -> enter(w); word = me
                :: else -> goto look
                fi
            };
            /* inherit_sleepers() */
#ifndef NO_INHERITANCE
            if
            :: slept || came_dead || h != 0 -> set_wanted(me)
            :: else
            fi;
#endif
            goto took;

ask:        /* ask_if_needed(), ask() */
            if
            :: last && !slept -> goto give_up
            :: else
            fi;
            set_wanted(who(w));
#ifndef NO_BARRIER
            atomic { drain_all() };
#endif
            if
            :: word != w -> goto look
            :: else
            fi;
            if
            :: !wanted[who(w)] -> goto look
            :: else
            fi;
wait:       /* wait_for(), is_starved(): a millisecond may have gone by */
            if
            :: last -> goto give_up
            :: HEIRS && !last && slept && h == 0 ->
                x = heir;
                if
                :: who(x) == 0 || dead[who(x)] ->
                    atomic {
                        if
                        :: heir == x -> heir = me; goto look
                        :: else
                        fi
                    }
                :: else
                fi
            :: !last -> skip
            fi;
            /* rest(), doze(), lie_down(): the kernel compares all and sleeps */
            slept = true;
            atomic {
                if
                :: word == w && !dead[who(w)] &&
#ifndef SLEEP_ON_WORD_ALONE
                   (who(w) == 0 || wanted[who(w)]) &&
#endif
                   (h == me -> heir == me : !dead[h]) ->
                    asleep[me] = true; owner_of[me] = who(w); heir_of[me] = h
                :: else
                fi
            };
            if
            :: !asleep[me]
#ifdef LOOK_AGAIN
            :: atomic {
                   timeout -> asleep[me] = false; idle_looks++;
                   assert(idle_looks <= 3 * N); /* somebody gets on */
                   late = (who(w) == 0 -> h : late)
               }
            :: atomic {
                   early > 0 -> early--; asleep[me] = false;
                   late = (who(w) == 0 -> h : late)
               }
#endif
#ifdef DEADLINE
            :: atomic { me == N -> asleep[me] = false; last = true }
#endif
            fi;
            pass_on_death_of(who(w));
            pass_on_death_of(h);
            owner_of[me] = 0; heir_of[me] = 0; n = 0; x = 0;
            goto look;

give_up:    depose(me);
            goto next;

took:       atomic { depose(me); w = 0; h = 0; x = 0 }; /* is_heir() */
held:       atomic { assert(holds[me]); holds[me] = false };
            /* give(): is_simple() */
            if
            :: !wanted[me] ->
                buffered[me] = true; /* word = 0 */
                if
                :: wanted[me] -> goto wake
                :: else -> goto next
                fi
            :: else
            fi;
            /* give_slowly(), call_heir() */
            h = heir;
            if
            :: who(h) != 0 && !dead[who(h)] ->
                heir = heir | CALLED;
                word = STARVING;
                /* wake_heir() */
                atomic { wake_one(on_heir) };
                if
                :: n == 0 -> atomic { wake_one(on_word) }
                :: else
                fi;
                goto next
            :: else -> word = 0
            fi;
wake:       /* wake_one(): when it forgets is its own choice, but if it woke */
            n = 0;
            if
            :: wanted[me] -> atomic { drain(me); wake_one(on_word) }
            :: else
            fi;
            if
            :: atomic { drain(me); wanted[me] = false } /* forget_wanted() */
            :: n == 0
            fi;
next:       w = 0; h = 0; n = 0; x = 0
        od;
        left[me] = true
    } unless { dead[me] }
}

/* What may happen at any time: stores become visible, members are killed. */
proctype machine()
{
    byte n, p;
end:
    do
    :: atomic { buffered[1] -> drain(1) }
    :: atomic { buffered[2] -> drain(2) }
    :: atomic { N > 2 && buffered[N] -> drain(N) }
    :: kills > 0 -> kills = 0 /* enough */
    :: atomic {
           kills > 0 -> kills--;
           if
           :: p = 1
           :: p = 2
           :: p = N
           fi;
           if
           :: !dead[p] && !left[p] ->
               drain(p);
               dead[p] = true; holds[p] = false; asleep[p] = false;
               owner_of[p] = 0; heir_of[p] = 0;
               orphaned = orphaned || who(word) == p;
               wake_one(on_life)
           :: else
           fi;
           p = 0; n = 0
       }
    od
}

init
{
    byte i;
    atomic {
        for (i : 1 .. N) {
            run member(i)
        }
        run machine()
    }
}
