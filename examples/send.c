/* SPDX-License-Identifier: MIT */
/*
 * send NAME TEXT: hands a text to a receive(1) of that name, whenever that was
 * or will be started. The two have nothing to do with each other but the name.
 */
#include "mailbox.h"

static bool is_empty(void *mailbox)
{
    return !((struct mailbox *)mailbox)->full;
}

int main(int argc, char **argv)
{
    struct mailbox *m;
    rip_time deadline = rip_after(10);

    if (argc != 3)
        return 2;
    if (open_mailbox(&m, argv[1], is_empty, deadline) < 0)
        return 1;
    snprintf(m->text, sizeof m->text, "%s", argv[2]);
    m->full = true;
    rip_cond_notify_all(&m->changed);
    /* It is taken before we go: the last one takes the mailbox with it. */
    int r = rip_cond_wait_for(&m->changed, &m->lock, is_empty, m, deadline);
    rip_lock_release(&m->lock);
    printf("%s\n", r < 0 ? "nobody has come for it" : "received");
    return r < 0;
}
