/* SPDX-License-Identifier: MIT */
/*
 * A slot and what its member was a party of: src/segment/member.c, sweep.c,
 * and src/sync/barrier.c. The slot is that of member 1, who arrives at the
 * barrier; 2 joins the domain, gets the slot if it is free, and arrives too;
 * meanwhile one resets the barrier, and two sweep. KILLS of the members and
 * sweepers are killed before any step; who is slow is stopped there.
 *
 *     run holds: -DKILLS=1 -DRESETS
 *     run holds: -DKILLS=2 -DRESETS
 *     run holds: -DKILLS=1 -DSWEEPERS=2
 *     run breaks: -DKILLS=1 -DFREE_BLINDLY
 *     run breaks: -DKILLS=1 -DNO_GENERATION
 *     run breaks: -DKILLS=2 -DFREE_FIRST
 *     run breaks: -DKILLS=2 -DFORGET_CLAIMED
 *     run breaks: -DKILLS=2 -DLIFE_LAST
 *     run breaks: -DKILLS=1 -DRESETS -DANY_INCARNATION
 *     run breaks: -DKILLS=1 -DRESETS -DWORD_LAST
 *     run breaks: -DKILLS=1 -DRESETS -DRESET_UNBROKEN
 *     run breaks: -DKILLS=2 -DSLOT_UNSEEN
 *     run breaks: -DKILLS=1 -DMARK_LAST
 */
#ifndef SWEEPERS
#define SWEEPERS 1
#endif

/* The slot. A claim is {generation, phase}, and the generation is also the
 * member here: slots 1 and 2 of the truth below. */
#define FREE    0
#define CLAIMED 1
#define LIVE    2
#define GENERATION 4
byte claim = GENERATION + LIVE;
bool died;    /* the life word, which the kernel writes */
byte mark;    /* 0, or the incarnation of the barrier */

/* The barrier: {epoch, arrived, BROKEN}, and the incarnation. */
#define BROKEN  1
#define ARRIVED 2
#define EPOCH   8
byte word, incarnation = 1;

/* What is true. 1, 2 are members, 3, 4 sweep. */
byte owner = 1;      /* of the slot: who has claimed it */
byte life_of = 1;    /* whose death the kernel writes to `died` */
byte marked[3];      /* of which incarnation each is a party, */
byte arrived[3];     /* and for which it is waited */
bool dead[5], left[5];
byte kills = KILLS, gone;

#define is_dead_party(i) (dead[i] && marked[i] == incarnation)

#ifdef NO_GENERATION
#define same_claim (claim % GENERATION == was % GENERATION)
#else
#define same_claim (claim == was)
#endif

/* free_slot() */
inline free_slot()
{
    atomic {
        if
#ifdef FREE_BLINDLY
        :: true ->
#else
        :: same_claim ->
#endif
            if
            :: claim % GENERATION != FREE -> assert(dead[owner])
            :: else
            fi;
            claim = was / GENERATION * GENERATION + FREE
        :: else
        fi
    }
}

/* break_fellowship(), of the mark `m` */
inline break_fellowship()
{
#ifndef WORD_LAST
    seen = word;
#endif
    do
    :: seen & BROKEN -> break
    :: else ->
#ifndef ANY_INCARNATION
        if
        :: incarnation != m -> break
        :: else
        fi;
#endif
#ifndef SLOT_UNSEEN
        if
        :: claim != was -> break
        :: else
        fi;
#endif
#ifdef WORD_LAST
        seen = word;
#endif
        atomic {
            if
            :: word == seen ->
                if
                :: !(word & BROKEN) ->
                    assert(is_dead_party(1) || is_dead_party(2))
                :: else
                fi;
                word = word | BROKEN; seen = word
            :: else -> seen = word
            fi
        }
    od
}

/* rip__sweep(), of the one slot: is_dead(), sweep_slot() */
inline sweep()
{
    was = claim;
    m = 0; seen = 0;
    if
    :: was % GENERATION == CLAIMED ->
#ifndef FORGET_CLAIMED
        if
        :: dead[was / GENERATION] -> free_slot()
        :: else
        fi
#else
        skip
#endif
    :: was % GENERATION == LIVE ->
        if
        :: claim != was || died ->
#ifdef FREE_FIRST
            free_slot();
#endif
            m = mark;
            if
            :: m != 0 -> break_fellowship()
            :: else
            fi;
            free_slot()
        :: else
        fi
    :: else
    fi;
    was = 0; m = 0; seen = 0
}

/* rip_barrier_wait() up to where one sleeps: try_arrive(), join() */
inline arrive()
{
    do
    :: seen = word;
       m = incarnation;
       if
       :: seen & BROKEN -> break
       :: else
       fi;
#ifndef MARK_LAST
       atomic { mark = m; marked[me] = m };
#endif
       atomic {
           if
           :: word == seen -> word = word + ARRIVED; arrived[me] = m; ok = true
           :: else -> ok = false
           fi
       };
       if
       :: ok -> break
       :: else
       fi
    od;
#ifdef MARK_LAST
    if
    :: ok -> atomic { mark = m; marked[me] = m }
    :: else
    fi;
#endif
    seen = 0; m = 0; ok = false
}

/* take(), become() */
inline become()
{
    was = claim;
    if
    :: was % GENERATION == FREE ->
        atomic {
            if
            :: claim == was ->
                claim = GENERATION * 2 + CLAIMED; owner = me; ok = true
            :: else
            fi
        }
    :: else
    fi;
    was = 0;
    if
    :: ok ->
        mark = 0; /* introduce() */
#ifdef LIFE_LAST
        claim = GENERATION * 2 + LIVE;
#endif
        atomic { died = false; life_of = me }; /* begin_life() */
        claim = GENERATION * 2 + LIVE
    :: else
    fi
}

proctype first()
{
    byte me = 1, m, seen;
    bool ok;
    {
        arrive()
    } unless { dead[1] };
    gone++
}

proctype newcomer()
{
    byte me = 2, was, m, seen;
    bool ok;
    {
        sweep();
        become();
        if
        :: ok -> ok = false; arrive()
        :: else
        fi
    } unless { dead[2] };
    gone++
}

proctype sweeper(byte me)
{
    byte was, m, seen;
    {
        sweep();
        left[me] = true
    } unless { dead[me] };
    gone++
}

/* rip_barrier_reset() */
proctype resetter()
{
#ifdef RESETS
#ifndef RESET_UNBROKEN
    word = word | BROKEN;
#endif
    incarnation++;
    atomic { word = word / EPOCH * EPOCH + EPOCH };
#endif
    gone++
}

proctype machine()
{
    byte p;
end:
    do
    :: atomic {
           kills > 0 ->
           kills--;
           select(p : 1 .. 2 + SWEEPERS);
           if
           :: !dead[p] && !left[p] ->
               dead[p] = true;
               died = died || life_of == p
           :: else
           fi;
           p = 0
       }
    od
}

/* All have ended, and who comes now sweeps: no death went unnoticed. */
init
{
    byte was, m, seen;
    atomic {
        run first();
        run newcomer();
        run sweeper(3);
#if SWEEPERS > 1
        run sweeper(4);
#endif
        run resetter();
        run machine()
    };
    gone == 3 + SWEEPERS;
    atomic { kills = 0; was = 0 };
    sweep();
    assert(claim % GENERATION == FREE || !dead[owner]);
    assert(!(dead[1] && arrived[1] == incarnation) || (word & BROKEN));
    assert(!(dead[2] && arrived[2] == incarnation) || (word & BROKEN))
}
