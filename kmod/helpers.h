/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _DMNS_HELPERS_H
#define _DMNS_HELPERS_H

#include <linux/types.h>

bool dmns_in_task(void);
bool dmns_may_sleep(void);

int dmns_handler_begin(void);
void dmns_handler_end(int index);
void dmns_handlers_wait(void);

#endif
