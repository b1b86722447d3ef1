/* SPDX-License-Identifier: MIT */
#include "command/command.h"

int rip__fail(const struct rip_command_options *o, const char *step,
              const char *subject, int code)
{
    if (o && o->failure) {
        struct rip_failure *f = o->failure;
        size_t len = strnlen(subject, sizeof f->subject - 1);
        f->step = step;
        f->code = code;
        memcpy(f->subject, subject, len);
        f->subject[len] = 0;
    }
    return code;
}

int rip_failure_format(const struct rip_failure *f, char *buf, size_t cap)
{
    struct rip__text t = { buf, cap, 0 };
    rip__text_add(&t, f->step ? f->step : "nothing failed");
    if (f->subject[0]) {
        rip__text_add(&t, " \"");
        rip__text_add_escaped(&t, f->subject);
        rip__text_add_char(&t, '"');
    }
    if (f->step) {
        rip__text_add(&t, ": ");
        rip__text_add(&t, rip_strerror(f->code));
    }
    return rip__text_end(&t);
}
