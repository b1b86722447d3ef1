/* SPDX-License-Identifier: MIT */
#include "base/base.h"

#include <errno.h>

#include "os/os.h"

int rip__buffer_reserve(struct rip__buffer *b, size_t more)
{
    size_t need;
    if (!rip__add(b->len, more, &need) || !rip__add(need, 1, &need))
        return -ENOMEM;
    if (need <= b->cap)
        return 0;
    size_t cap = b->cap < 128 ? 128 : b->cap;
    while (cap < need)
        if (!rip__add(cap, cap / 2, &cap))
            cap = need;
    char *data = rip__seam.resize(b->data, cap);
    if (!data)
        return -ENOMEM;
    b->data = data;
    b->cap = cap;
    return 0;
}

int rip__buffer_append(struct rip__buffer *b, const void *data, size_t len)
{
    int r = rip__buffer_reserve(b, len);
    if (r < 0)
        return r;
    if (len > 0)
        memcpy(b->data + b->len, data, len);
    b->len += len;
    return 0;
}

void rip__buffer_done(struct rip__buffer *b)
{
    rip__seam.release(b->data);
    *b = (struct rip__buffer){ 0 };
}
