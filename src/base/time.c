/* SPDX-License-Identifier: MIT */
#include "base/base.h"

#include "os/os.h"

rip_time rip_time_now(void)
{
    return rip__os_clock();
}

rip_time rip__later(rip_time ns)
{
    rip_time at;
    return __builtin_add_overflow(rip__os_clock(), ns, &at) ? RIP_FOREVER : at;
}

rip_time rip_after(double seconds)
{
    double ns = seconds * 1e9;
    if (!(ns > 0)) /* NaN as well */
        return RIP_NOW;
    return ns < 9.2e18 ? rip__later(ns < 1 ? 1 : (rip_time)ns) : RIP_FOREVER;
}

rip_time rip_after_ms(int64_t ms)
{
    rip_time ns;
    if (__builtin_mul_overflow(ms, (int64_t)1000000, &ns))
        return ms < 0 ? RIP_NOW : RIP_FOREVER;
    /* What is past is now: no deadline is ever negative, nor 0 by accident. */
    return ns <= 0 ? RIP_NOW : rip__later(ns);
}

rip_time rip__grace(double seconds)
{
    if (seconds == 0)
        seconds = 1;
    if (seconds < 0)
        return 0;
    return seconds < 9e9 ? (rip_time)(seconds * 1e9) : RIP_FOREVER;
}
