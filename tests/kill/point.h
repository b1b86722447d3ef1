/* SPDX-License-Identifier: MIT */
#ifndef RIP_TESTS_KILL_POINT_H
#define RIP_TESTS_KILL_POINT_H

/* Called before each access of instrumented code: a point, where what is
 * accessed is shared. */
void kill_access(const volatile void *p);

#endif
