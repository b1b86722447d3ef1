/* SPDX-License-Identifier: MIT */
#include "internal.h"

/* Asked for by the run-time library of the undefined behaviour sanitizer, in
 * builds that have it: without this it would print, and the test would pass. */
const char *__ubsan_default_options(void);

const char *__ubsan_default_options(void)
{
    return "halt_on_error=1:print_stacktrace=1";
}
