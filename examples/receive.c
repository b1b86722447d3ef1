/* SPDX-License-Identifier: MIT */
/*
 * receive NAME: prints the text of a send(1) to that name, whenever that was or
 * will be started.
 */
#include "mailbox.h"

static bool is_full(void *mailbox)
{
    return ((struct mailbox *)mailbox)->full;
}

int main(int argc, char **argv)
{
    struct mailbox *m;

    if (argc != 2)
        return 2;
    if (open_mailbox(&m, argv[1], is_full, rip_after(10)) < 0)
        return 1;
    printf("%s\n", m->text);
    m->full = false;
    rip_cond_notify_all(&m->changed);
    rip_lock_release(&m->lock);
    return 0;
}
