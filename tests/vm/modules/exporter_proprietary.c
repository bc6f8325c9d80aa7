// SPDX-License-Identifier: GPL-2.0-or-later
// A symbol for everybody, from a proprietary module.
#include <linux/module.h>

int judge_proprietary(void)
{
	return 0;
}
EXPORT_SYMBOL(judge_proprietary);

MODULE_DESCRIPTION("A module for the judge");
MODULE_LICENSE("Proprietary");
