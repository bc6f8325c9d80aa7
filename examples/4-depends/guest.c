// SPDX-License-Identifier: GPL-2.0-or-later
#include <linux/init.h>
#include <linux/module.h>

void greet(const char *whom); /* of the package greet */

static int __init guest_init(void)
{
	greet("guest");
	return 0;
}

static void __exit guest_exit(void)
{
}

module_init(guest_init);
module_exit(guest_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("dkms example: depends on another package");
MODULE_VERSION("1.0");
