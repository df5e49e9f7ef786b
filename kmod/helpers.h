/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _DMNS_HELPERS_H
#define _DMNS_HELPERS_H

#include <linux/types.h>

bool dmns_in_task(void);
bool dmns_may_sleep(void);

#endif
