// SPDX-License-Identifier: GPL-2.0-or-later
// Its symbol gets the name of one of the kernel.
#include <linux/module.h>

int judge_exported_twice(void)
{
	return 0;
}
EXPORT_SYMBOL(judge_exported_twice);

MODULE_DESCRIPTION("A module for the judge");
MODULE_LICENSE("GPL");
