/* SPDX-License-Identifier: MIT */
/*
 * Permits, src/segment/count.c: publish, effect, settle, void. Member 1 takes
 * and gives and may be killed at any step; HANDLER gives for it meanwhile, as
 * a signal handler or a sibling would. Two sweep, and one of them may be killed
 * as well; member 2 takes and gives too.
 *
 *     run holds: -DKILLS=0 -DHANDLER
 *     run holds: -DKILLS=2
 *     run breaks: -DKILLS=0 -DHANDLER -DNO_VOID
 *     run breaks: -DKILLS=2 -DNO_SETTLE
 *     run breaks: -DKILLS=1 -DDROP_PENDING
 */
#define MAX 1
#ifndef TURNS
#define TURNS 2 /* after which one gives up: others get on for ever */
#endif

mtype = { IDLE, TAKE, RETURN, NONE, DONE, VOIDED };

/* The word, and the record of slots 1 and 2; each is one word in memory. */
byte value = MAX, last_slot, last_sequence;
mtype last_kind = NONE;
byte count[3], sequence[3];
mtype phase[3] = IDLE;
bool dead[4];
bool is_free[3]; /* the claim of slot 1 went from LIVE to FREE */
byte kills = KILLS, gone;

/* is_decided(), outcome(), of what is in memory */
#define decided(i) (phase[i] != IDLE && last_slot == i && \
                    last_sequence == sequence[i] && last_kind != NONE)
#define effected(i) (decided(i) && last_kind == DONE)
#define held(i) (!effected(i) -> count[i] \
                              : (phase[i] == TAKE -> count[i] + 1 : 0))
#define sound (value <= MAX && value + held(1) + held(2) == MAX)

/* A look at the word, and at the record after that. */
inline look_at_word()
{
    atomic { v = value; ls = last_slot; lq = last_sequence; lk = last_kind }
}
#define same_word (value == v && last_slot == ls && last_sequence == lq && \
                   last_kind == lk)
#define same_record(i) (count[i] == c && phase[i] == p && sequence[i] == q)

/* settle(): what the word looked at names; the load, then the swap */
#ifdef NO_SETTLE
#define SETTLES false
#else
#define SETTLES true
#endif
inline settle()
{
    if
    :: SETTLES && lk != NONE ->
        atomic { sc = count[ls]; sp = phase[ls]; sq = sequence[ls] };
        atomic {
            if
            :: sp != IDLE && sq == lq && count[ls] == sc && phase[ls] == sp &&
               sequence[ls] == sq ->
                if
                :: lk == DONE && sp == TAKE -> count[ls] = sc + 1
                :: lk == DONE && sp == RETURN -> count[ls] = 0
                :: else
                fi;
                phase[ls] = IDLE
            :: else
            fi;
            sc = 0; sp = IDLE; sq = 0;
            assert(sound)
        }
    :: else
    fi
}

/* change() to a value and a name, {i, q, kind}; `ok` says whether */
inline change()
{
    settle();
    atomic {
        ok = same_word;
        if
        :: ok -> value = to; last_slot = i; last_sequence = q; last_kind = kind
        :: else
        fi;
        assert(sound)
    }
}

/* steady() of record i: `ok`; the record is {c, p, q}, its base count is b */
inline steady()
{
    atomic { c = count[i]; p = phase[i]; q = sequence[i]; b = c };
    if
    :: p == IDLE -> ok = true
    :: p != IDLE && lk != NONE && ls == i && lq == q ->
        b = (lk == DONE -> (p == TAKE -> c + 1 : 0) : c);
        ok = true
    :: else ->
#ifdef NO_VOID
        ok = true /* takes it for dropped */
#else
        to = v; kind = VOIDED;
        change();
        ok = false
#endif
    fi
}

/* turn(): publish, effect; when that fails the intent is dropped */
inline turn()
{
    atomic {
        ok = same_record(i);
        if
        :: ok ->
            q = q + 1; c = b; p = what;
            count[i] = c; phase[i] = what; sequence[i] = q
        :: else
        fi;
        assert(sound)
    };
    if
    :: ok ->
        kind = DONE;
        change();
        if
        :: !ok ->
            atomic {
                if
                :: same_record(i) -> phase[i] = IDLE
                :: else
                fi;
                assert(sound)
            }
        :: else
        fi
    :: else
    fi
}

inline forget()
{
    v = 0; ls = 0; lq = 0; lk = NONE; c = 0; q = 0; b = 0; p = IDLE;
    to = 0; what = NONE; kind = NONE; ok = false
}

/* try_take() until it is had, or there is none */
inline take()
{
    turns = 0;
    do
    :: turns == TURNS -> break
    :: turns < TURNS -> turns++;
       atomic { forget() };
       look_at_word();
       if
       :: v == 0 -> break
       :: else
       fi;
       steady();
       if
       :: ok && b + v <= MAX ->
           what = TAKE; to = v - 1;
           turn();
           if
           :: ok -> break
           :: else
           fi
       :: else
       fi
    od
}

/* try_give() of what record i holds */
inline give()
{
    turns = 0;
    do
    :: turns == TURNS -> break
    :: turns < TURNS -> turns++;
       atomic { forget() };
       look_at_word();
       if
       :: v == MAX -> break /* -EOVERFLOW */
       :: else
       fi;
       steady();
       if
       :: ok && b == 0 -> break /* holds none */
       :: ok && b > 0 ->
           what = RETURN; to = v + b;
           turn();
           if
           :: ok -> break
           :: else
           fi
       :: else
       fi
    od
}

/* rip__count_sweep() of slot 1: conclude(), give_back(), free_slot() */
inline sweep()
{
    turns = 0;
    do
    :: is_free[1] || turns == TURNS -> break
    :: else -> turns++;
        atomic { forget(); i = 1 };
        look_at_word();
#ifdef DROP_PENDING
        atomic {
            c = count[1]; p = phase[1]; q = sequence[1]; b = c; ok = true
        };
#else
        steady();
#endif
        if
        :: is_free[1] -> break /* claim is another */
        :: else
        fi;
        if
        :: ok && b > 0 ->
            what = RETURN; to = (v + b <= MAX -> v + b : MAX);
            turn()
        :: ok && b == 0 && p != IDLE ->
            atomic {
                if
                :: same_record(i) -> count[1] = b; phase[1] = IDLE
                :: else
                fi;
                assert(sound)
            }
        :: ok && b == 0 && p == IDLE -> is_free[1] = true
        :: else
        fi
    od
}

#define LOCALS byte turns, i = 1, v, ls, lq, c, q, b, sc, sq, to; bool ok; \
    mtype lk = NONE, p = IDLE, sp = IDLE, what = NONE, kind = NONE

proctype member()
{
    LOCALS;
    {
        take();
        give()
    } unless { dead[1] };
    gone++
}

proctype handler()
{
    LOCALS;
    {
        give()
    } unless { dead[1] };
    gone++
}

proctype other()
{
    LOCALS;
    i = 2;
    take();
    if
    :: dead[1] -> sweep()
    :: !dead[1]
    fi;
    i = 2;
    give();
    atomic { forget(); gone++ }
}

proctype sweeper()
{
    LOCALS;
    {
        if
        :: dead[1] -> sweep()
        :: !dead[1]
        fi
    } unless { dead[3] };
    atomic { forget(); gone++ }
}

proctype machine()
{
end:
    do
    :: atomic { kills > 0 && !dead[1] -> dead[1] = true; kills-- }
    :: atomic { kills > 0 && dead[1] && !dead[3] -> dead[3] = true; kills-- }
    od
}

/* Everybody has ended. Who comes now sweeps, and finds every permit. */
init
{
    LOCALS;
    atomic {
        run member();
        run other();
#ifdef HANDLER
        run handler();
#else
        run sweeper();
#endif
        run machine()
    };
    gone == 3;
    if
    :: dead[1] -> sweep(); sweep(); assert(held(1) == 0)
    :: else
    fi;
    assert(value + held(1) + held(2) == MAX)
}
