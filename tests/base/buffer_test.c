/* SPDX-License-Identifier: MIT */
#include "base/base.h"

#include <errno.h>

#include "fault.h"
#include "harness.h"

TEST(sizes_that_overflow_are_refused)
{
    size_t n = 7;
    CHECK(rip__add(2, 3, &n));
    CHECK_INT(n, ==, 5);
    CHECK(!rip__add(SIZE_MAX, 1, &n));
    CHECK(rip__multiply(3, 4, &n));
    CHECK_INT(n, ==, 12);
    CHECK(!rip__multiply(SIZE_MAX / 2, 3, &n));
    CHECK_INT(n, ==, 12);
    CHECK(!rip__alloc_array(SIZE_MAX / 2, 3));
    CHECK(!rip__alloc_array(SIZE_MAX / 2 + 2, 2)); /* which is 2 */
}

TEST(buffer_grows_and_keeps)
{
    struct rip__buffer b = { 0 };
    for (int i = 0; i < 100000; i++)
        CHECK_OK(rip__buffer_append(&b, &(char){ (char)i }, 1));
    CHECK_INT(b.len, ==, 100000);
    CHECK_INT(b.cap, >, b.len);
    for (int i = 0; i < 100000; i++)
        if (b.data[i] != (char)i)
            FAIL("byte %d is %d", i, b.data[i]);
    rip__buffer_done(&b);
    CHECK_INT(b.len, ==, 0);
}

TEST(buffer_refuses_what_no_memory_holds)
{
    struct rip__buffer b = { 0 };
    CHECK_OK(rip__buffer_append(&b, "x", 1));
    CHECK_ERR(rip__buffer_reserve(&b, SIZE_MAX), -ENOMEM);
    CHECK_ERR(rip__buffer_reserve(&b, SIZE_MAX - 1), -ENOMEM);
    CHECK_MEM(b.data, b.len, "x", 1);
    rip__buffer_done(&b);
}

TEST(buffer_appends_nothing)
{
    struct rip__buffer b = { 0 };
    CHECK_OK(rip__buffer_append(&b, NULL, 0));
    CHECK_INT(b.len, ==, 0);
    rip__buffer_done(&b);
}

TEST(buffer_keeps_what_it_has_when_memory_is_out)
{
    struct rip__buffer b = { 0 };
    CHECK_OK(rip__buffer_append(&b, "abc", 3));
    fault_always(FAULT_MEMORY, ENOMEM);
    CHECK_ERR(rip__buffer_reserve(&b, 1 << 20), -ENOMEM);
    CHECK_MEM(b.data, b.len, "abc", 3);
    rip__buffer_done(&b);
}
