/* SPDX-License-Identifier: MIT */
#include <ripstop/base.h>

#include <math.h>
#include <time.h>

#include "harness.h"

TEST(now_is_the_monotonic_clock)
{
    struct timespec t;
    rip_time before = rip_time_now();
    clock_gettime(CLOCK_MONOTONIC, &t);
    rip_time clock = (rip_time)t.tv_sec * 1000000000 + t.tv_nsec;
    CHECK_INT(before, <=, clock);
    CHECK_INT(clock, <=, rip_time_now());
}

TEST(after_is_that_much_later)
{
    rip_time now = rip_time_now();
    rip_time at = rip_after(1.5);
    CHECK_INT(at - now, >=, 1500000000);
    CHECK_INT(at, <=, rip_time_now() + 1500000000);
    at = rip_after_ms(250);
    CHECK_INT(at - now, >=, 250000000);
    CHECK_INT(at, <=, rip_time_now() + 250000000);
}

TEST(a_tiny_wait_is_not_now)
{
    CHECK_INT(rip_after(1e-12), >, RIP_NOW);
}

TEST(what_is_no_time_from_now_is_now)
{
    CHECK_INT(rip_after(0), ==, RIP_NOW);
    CHECK_INT(rip_after(-1), ==, RIP_NOW);
    CHECK_INT(rip_after((double)NAN), ==, RIP_NOW);
    CHECK_INT(rip_after(-(double)INFINITY), ==, RIP_NOW);
    CHECK_INT(rip_after_ms(0), ==, RIP_NOW);
    CHECK_INT(rip_after_ms(-5), ==, RIP_NOW);
    CHECK_INT(rip_after_ms(INT64_MIN), ==, RIP_NOW);
}

TEST(what_is_too_far_away_is_forever)
{
    CHECK_INT(rip_after((double)INFINITY), ==, RIP_FOREVER);
    CHECK_INT(rip_after(1e300), ==, RIP_FOREVER);
    CHECK_INT(rip_after(9.22e9), ==, RIP_FOREVER);
    CHECK_INT(rip_after_ms(INT64_MAX), ==, RIP_FOREVER);
    CHECK_INT(rip_after_ms(INT64_MAX / 1000000), ==, RIP_FOREVER);
}
