/* SPDX-License-Identifier: MIT */
#include "play.h"
#include "cast.h"
#include "complain.h"
#include "world.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>

const char *const mode_name[MODES] = {
    "reaped", "zombie", "reused", "stopped", "slain", "thread", "leader",
    "exits",  "pair",   "both",   "other",   "race",  "chain",
};

int64_t play_slowest;
unsigned play_not_reused;

static const struct unit *unit;
static uint32_t point_a, point_b;
static void *object;
static bool has_let_go, is_behind, has_sibling;
static int64_t died_at;

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

_Noreturn static void bad(unsigned who, enum kill_seen seen)
{
    complain(unit, point_a, point_b, who, seen);
    cast_end_all();
    exit(1);
}

static enum kill_seen need(unsigned who, unsigned mask)
{
    enum kill_seen seen = cast_await(who, mask);
    if ((seen & mask) == 0)
        bad(who, seen);
    return seen;
}

static void ask(unsigned who, kill_fn *fn)
{
    if (fn == NULL)
        return;
    cast_order(who, fn, object);
    need(who, SEEN_DONE);
}

/* ---- the helpers ------------------------------------------------------ */

static void kill_oneself(void *o)
{
    (void)o;
    atomic_fetch_add(kill_dead, 1);
    raise(SIGKILL);
}

/* Its death is counted before, since others may see it before we do. */
static void end_by_kill(unsigned who)
{
    atomic_fetch_add(kill_dead, 1);
    cast_kill(who);
    need(who, SEEN_DEAD | SEEN_DONE); /* it may have ended meanwhile */
    died_at = now();
}

static void put_away(unsigned who)
{
    end_by_kill(who);
    cast_reap(who);
}

static void let_die(unsigned who, const struct kill_helper *h)
{
    struct kill_operation die = { .before = h->enter, .run = kill_oneself };
    cast_arm(who, KILL_GO_ON, 0);
    cast_fork(who, &die, object);
    need(who, SEEN_DEAD);
    if (h->how == KILL_DIED)
        cast_reap(who);
}

/* It has to be a process that can be killed. */
static void hang_on(unsigned who, const struct kill_helper *h)
{
    struct kill_operation op = { .before = h->enter, .run = kill_oneself };
    cast_arm(who, KILL_GO_ON, 0);
    cast_seat(who)->waits_first = true;
    cast_fork(who, &op, object);
    need(who, SEEN_PAUSED);
}

static void enter(unsigned who, const struct kill_helper *h)
{
    switch (h->how) {
    case KILL_NOBODY:
        break;
    case KILL_HOLDS:
    case KILL_KEEPS:
        ask(who, h->enter);
        break;
    case KILL_FALLS:
        hang_on(who, h);
        break;
    case KILL_BEHIND: /* what it waits for may have come meanwhile */
        cast_order(who, h->enter, object);
        need(who, SEEN_ASLEEP | SEEN_DONE);
        break;
    case KILL_SLEEPS:
    case KILL_AFTER:
        cast_order(who, h->enter, object);
        need(who, SEEN_ASLEEP);
        break;
    case KILL_DIED:
    case KILL_ZOMBIE:
        let_die(who, h);
        break;
    }
}

/* Sets of enum kill_how. */
#define HOW(how) (1u << (how))
enum {
    FIRST = HOW(KILL_HOLDS) | HOW(KILL_KEEPS) | HOW(KILL_FALLS) |
            HOW(KILL_SLEEPS) | HOW(KILL_DIED) | HOW(KILL_ZOMBIE),
    SLEEPERS = HOW(KILL_SLEEPS) | HOW(KILL_BEHIND) | HOW(KILL_AFTER),
    WORKERS = HOW(KILL_HOLDS) | HOW(KILL_KEEPS) | SLEEPERS,
};

static void each_helper(unsigned how,
                        void (*fn)(unsigned, const struct kill_helper *))
{
    for (unsigned i = 0; i < KILL_HELPERS; i++) {
        const struct kill_helper *h = &unit->state->helpers[i];
        if (how & HOW(h->how))
            fn(SEAT_HELPER + i, h);
    }
}

static bool has_helper(enum kill_how how)
{
    for (unsigned i = 0; i < KILL_HELPERS; i++)
        if (unit->state->helpers[i].how == how)
            return true;
    return false;
}

/* It need not come to its end before the victim is at its point. */
static void leave(unsigned who, const struct kill_helper *h)
{
    if (h->leave != NULL)
        cast_order(who, h->leave, object);
}

static void fall(unsigned who, const struct kill_helper *h)
{
    (void)h;
    put_away(who);
}

static void come_back(unsigned who, const struct kill_helper *h)
{
    (void)h;
    need(who, SEEN_DONE);
}

/* Those who are to come behind the victim do so once. */
static void come_behind(void)
{
    if (!is_behind)
        each_helper(HOW(KILL_BEHIND), enter);
    is_behind = true;
}

static void let_go(void)
{
    come_behind();
    if (has_let_go)
        return;
    has_let_go = true;
    each_helper(HOW(KILL_HOLDS), leave);
    each_helper(HOW(KILL_FALLS), fall);
}

/* ---- the victims ------------------------------------------------------ */

enum { SEEN_ANY = SEEN_DONE | SEEN_DEAD | SEEN_PAUSED | SEEN_STOPPED };

static enum kill_way way_of(enum kill_mode mode)
{
    switch (mode) {
    case MODE_THREAD:
        return KILL_THREAD;
    case MODE_LEADER:
        return KILL_LEADER;
    case MODE_EXITS:
        return KILL_RETURN;
    default:
        return KILL_PROCESS;
    }
}

static bool is_at_its_point(unsigned who)
{
    const struct kill_seat *s = cast_seat(who);
    return s->at != 0 && s->count == s->at;
}

static void end_asleep(unsigned who)
{
    if (!MODE_IS_THREAD(unit->mode)) {
        end_by_kill(who);
        return;
    }
    atomic_fetch_add(kill_dead, 1);
    cast_kill_thread(who);
    need(who, SEEN_DEAD | SEEN_DONE);
}

/* What a point does with one who is asleep: it cannot do it itself. */
static enum kill_seen act_asleep(unsigned who)
{
    switch (cast_seat(who)->act) {
    case KILL_DIE:
        end_asleep(who);
        return SEEN_DEAD;
    case KILL_STOP:
        kill(cast_seat(who)->pid, SIGSTOP);
        return need(who, SEEN_STOPPED);
    default:
        return SEEN_PAUSED;
    }
}

/* Follows one to its point or its end. When it blocks before, those who hold
 * something let go. */
static enum kill_seen follow(unsigned who, unsigned mask)
{
    mask |= SEEN_ASLEEP;
    for (;;) {
        enum kill_seen seen = need(who, mask);
        if (seen != SEEN_ASLEEP)
            return seen;
        come_behind();
        if (is_at_its_point(who))
            return act_asleep(who);
        if (has_let_go)
            mask &= ~(unsigned)SEEN_ASLEEP;
        let_go();
    }
}

/* The same for B, whom A may block for good. */
static enum kill_seen follow_other(void)
{
    enum kill_seen seen = need(SEAT_OTHER, SEEN_ANY | SEEN_ASLEEP);
    if (seen == SEEN_ASLEEP && is_at_its_point(SEAT_OTHER))
        return act_asleep(SEAT_OTHER);
    return seen;
}

static void fork_victim(void)
{
    if (MODE_IS_THREAD(unit->mode))
        cast_fork_thread(SEAT_VICTIM, unit->op, object, way_of(unit->mode),
                         unit->object->sibling);
    else
        cast_fork(SEAT_VICTIM, unit->op, object);
}

/* Who comes when the victim has done what it does before the points, comes
 * then. */
static void start_victim(enum kill_act act, uint32_t at)
{
    cast_arm(SEAT_VICTIM, act, at);
    cast_seat(SEAT_VICTIM)->waits_first = has_helper(KILL_AFTER);
    fork_victim();
    if (!has_helper(KILL_AFTER))
        return;
    need(SEAT_VICTIM, SEEN_PAUSED);
    each_helper(HOW(KILL_AFTER), enter);
    cast_continue(SEAT_VICTIM);
}

static void finish(unsigned who)
{
    follow(who, SEEN_DONE);
}

static void go_on(unsigned who)
{
    cast_seat(who)->at = 0;
    cast_continue(who);
    finish(who);
}

/* ---- the survivors ---------------------------------------------------- */

static void check(void)
{
    if (has_sibling)
        cast_continue(SEAT_VICTIM);
    for (unsigned i = 0; i < KILL_SURVIVORS; i++)
        cast_order(SEAT_SURVIVOR + i, unit->object->check, object);
    for (unsigned i = 0; i < KILL_SURVIVORS; i++)
        need(SEAT_SURVIVOR + i, SEEN_DONE);
    if (has_sibling)
        need(SEAT_VICTIM, SEEN_DONE);
    cast_end_stayers();
    ask(SEAT_SURVIVOR, unit->object->audit);
}

static void survive(void)
{
    let_go();
    each_helper(HOW(KILL_KEEPS), leave);
    each_helper(WORKERS, come_back);
    check();
    if (died_at != 0 && now() - died_at > play_slowest)
        play_slowest = now() - died_at;
}

/* ---- one victim ------------------------------------------------------- */

/* Its process lives. */
static void after_thread(void)
{
    has_sibling = !unit->object->of_process;
    if (has_sibling)
        return;
    ask(SEAT_SURVIVOR, unit->object->while_stopped);
    put_away(SEAT_VICTIM);
}

static void after_death(void)
{
    pid_t pid = cast_seat(SEAT_VICTIM)->pid;
    died_at = now();
    if (MODE_IS_THREAD(unit->mode)) {
        after_thread();
        return;
    }
    if (unit->mode == MODE_ZOMBIE)
        return;
    cast_reap(SEAT_VICTIM);
    if (unit->mode == MODE_REUSED && !cast_stand_in(pid))
        play_not_reused++;
}

/* How a mode begins. */
static enum kill_act act_of(enum kill_mode mode)
{
    switch (mode) {
    case MODE_STOPPED:
        return KILL_STOP;
    case MODE_SLAIN:
    case MODE_PAIR:
    case MODE_BOTH:
    case MODE_OTHER:
    case MODE_RACE:
        return KILL_PAUSE;
    default:
        return KILL_DIE;
    }
}

static void live_without(void)
{
    ask(SEAT_SURVIVOR, unit->object->while_stopped);
    if (unit->mode == MODE_SLAIN)
        put_away(SEAT_VICTIM);
    else
        go_on(SEAT_VICTIM);
}

static enum verdict play_single(void)
{
    enum kill_seen seen;
    start_victim(act_of(unit->mode), point_a);
    seen = follow(SEAT_VICTIM, SEEN_ANY);
    if (seen == SEEN_DEAD)
        after_death();
    if (seen & (SEEN_STOPPED | SEEN_PAUSED))
        live_without();
    survive();
    return seen == SEEN_DONE ? OVER : PLAYED;
}

/* ---- two of them ------------------------------------------------------ */

/* B lives on in a pair, so that it can be a worker; and what it does before
 * the points it does before A comes. */
static void prepare_other(void)
{
    if (unit->mode != MODE_PAIR)
        return;
    ask(SEAT_OTHER, unit->other->before);
    cast_arm(SEAT_OTHER, KILL_PAUSE, point_b);
}

static enum kill_seen start_other(void)
{
    if (unit->mode == MODE_PAIR) {
        cast_order_run(SEAT_OTHER, unit->other, object);
    } else {
        cast_arm(SEAT_OTHER, act_of(unit->mode), point_b);
        cast_fork(SEAT_OTHER, unit->other, object);
    }
    return follow_other();
}

/* A may need what B has: then B goes on first. */
static void race(enum kill_seen b)
{
    cast_seat(SEAT_VICTIM)->at = 0;
    cast_continue(SEAT_VICTIM);
    if (b != SEEN_DONE) {
        need(SEAT_VICTIM, SEEN_DONE | SEEN_ASLEEP);
        go_on(SEAT_OTHER);
    }
    finish(SEAT_VICTIM);
}

static void end_pair(enum kill_seen b)
{
    switch (unit->mode) {
    case MODE_PAIR:
        put_away(SEAT_VICTIM);
        if (b != SEEN_DONE)
            go_on(SEAT_OTHER);
        ask(SEAT_OTHER, unit->other->after);
        break;
    case MODE_BOTH:
        put_away(SEAT_VICTIM);
        put_away(SEAT_OTHER);
        break;
    case MODE_OTHER:
        put_away(SEAT_OTHER);
        go_on(SEAT_VICTIM);
        break;
    case MODE_RACE:
        race(b);
        break;
    default: /* the chain: B blocked by one who holds, or at its end */
        put_away(SEAT_OTHER);
        break;
    }
}

/* A had ended before: B, who has prepared, does not keep what it got by that.
 */
static void let_other(void)
{
    if (unit->mode != MODE_PAIR || unit->other->before == NULL)
        return;
    cast_arm(SEAT_OTHER, KILL_GO_ON, 0);
    cast_order_run(SEAT_OTHER, unit->other, object);
    finish(SEAT_OTHER);
}

static enum verdict play_pair(void)
{
    bool chain = unit->mode == MODE_CHAIN;
    enum kill_seen b;
    prepare_other();
    start_victim(act_of(unit->mode), point_a);
    if (follow(SEAT_VICTIM, SEEN_ANY) == SEEN_DONE) {
        let_other();
        survive();
        return OVER;
    }
    if (chain)
        after_death();
    b = start_other();
    end_pair(b);
    survive();
    return b == SEEN_DONE || b == SEEN_ASLEEP ? LAST : PLAYED;
}

enum verdict play(const struct unit *u, uint32_t at, uint32_t at2)
{
    enum verdict v;
    unit = u;
    kill_the_seed = u->seed;
    point_a = at;
    point_b = at2;
    has_let_go = is_behind = has_sibling = false;
    died_at = 0;
    world_reset();
    each_helper(FIRST, enter);
    v = MODE_IS_PAIR(u->mode) ? play_pair() : play_single();
    cast_end();
    return v;
}

/* ---- the beginning and the end ---------------------------------------- */

static void join(unsigned who, const struct kill_helper *h)
{
    (void)h;
    ask(who, unit->object->join);
}

/* How many processes that were not there before live at once. */
static unsigned newcomers(void)
{
    unsigned n = 1;
    if (MODE_IS_THREAD(unit->mode) ||
        (MODE_IS_PAIR(unit->mode) && unit->mode != MODE_PAIR))
        n = 2;
    for (unsigned i = 0; i < KILL_HELPERS; i++)
        n += unit->state->helpers[i].how == KILL_FALLS;
    return n;
}

/* Workers are members before it is kept how all is. */
void play_begin(const struct unit *u)
{
    unit = u;
    kill_the_pid = u->mode == MODE_REUSED || u->mode == MODE_ZOMBIE;
    object = world_make(u->object);
    ask(SEAT_SURVIVOR, u->object->make);
    each_helper(WORKERS, join);
    for (unsigned i = 0; i < KILL_SURVIVORS; i++)
        ask(SEAT_SURVIVOR + i, u->object->join);
    if (u->mode == MODE_PAIR)
        ask(SEAT_OTHER, u->object->join);
    if (u->object->settle != NULL)
        u->object->settle(object, newcomers());
    world_keep();
}

void play_end(void)
{
    cast_end_all();
}
