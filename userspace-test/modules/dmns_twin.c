// SPDX-License-Identifier: GPL-2.0-only
/*
 * Functions of names that others have too: dmns_audit looks for three of them in vmlinux or in dm_mod. The kernel allows
 * that, since they are static. In C, so that the names are what is written here.
 */
#include <linux/module.h>

#define TWIN(name)						\
	static noinline __used void name(void)			\
	{							\
		/* Something, or the compiler takes them for one. */ \
		pr_warn("dmns_twin: " #name "() called\n");	\
	}

TWIN(__ns_tree_add_raw)
TWIN(dm_audit_log_ti)
TWIN(dm_ctl_ioctl)

static int __init dmns_twin_init(void)
{
	return 0;
}
module_init(dmns_twin_init);

static void __exit dmns_twin_exit(void)
{
}
module_exit(dmns_twin_exit);

MODULE_DESCRIPTION("Functions of names that others have too");
MODULE_AUTHOR("The dmns-audit developers");
MODULE_LICENSE("GPL");
