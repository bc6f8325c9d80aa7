// SPDX-License-Identifier: GPL-2.0-or-later
#include <linux/init.h>
#include <linux/module.h>

static int __init violin_init(void)
{
	pr_info("violin: loaded\n");
	return 0;
}

static void __exit violin_exit(void)
{
}

module_init(violin_init);
module_exit(violin_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("dkms example: everything");
MODULE_VERSION("2.1");
