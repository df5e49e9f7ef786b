// SPDX-License-Identifier: GPL-2.0-only
/*
 * A device-mapper target with a constructor that oopses, as a target under development may; with a number of seconds as
 * argument, it sleeps for as long instead. In C, since device mapper has no Rust abstraction.
 */
#include <linux/delay.h>
#include <linux/device-mapper.h>
#include <linux/kstrtox.h>
#include <linux/module.h>

static int dmns_oops_ctr(struct dm_target *ti, unsigned int argc, char **argv)
{
	unsigned int seconds;

	if (argc == 1 && !kstrtouint(argv[0], 10, &seconds))
		ssleep(seconds);
	else
		*(volatile int *)8 = 0;
	return 0;
}

static void dmns_oops_dtr(struct dm_target *ti)
{
}

static int dmns_oops_map(struct dm_target *ti, struct bio *bio)
{
	return DM_MAPIO_KILL;
}

static struct target_type dmns_oops_target = {
	.name = "oops",
	.version = { 1, 0, 0 },
	.module = THIS_MODULE,
	.ctr = dmns_oops_ctr,
	.dtr = dmns_oops_dtr,
	.map = dmns_oops_map,
};
module_dm(dmns_oops);

MODULE_DESCRIPTION("A device-mapper target with a constructor that oopses");
MODULE_AUTHOR("The dmns-audit developers");
MODULE_LICENSE("GPL");
