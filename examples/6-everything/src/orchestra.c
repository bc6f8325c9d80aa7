// SPDX-License-Identifier: GPL-2.0-or-later
#include <linux/init.h>
#include <linux/module.h>

static int __init orchestra_init(void)
{
	pr_info("orchestra: loaded\n");
	return 0;
}

static void __exit orchestra_exit(void)
{
}

module_init(orchestra_init);
module_exit(orchestra_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("dkms example: everything");
MODULE_VERSION("2.1");
