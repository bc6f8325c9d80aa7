/* A module with a device of its own and a function for pair_user. */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>

int pair_value(void);

int pair_value(void)
{
	return VALUE;
}
EXPORT_SYMBOL_GPL(pair_value);

static const struct file_operations operations = { .owner = THIS_MODULE };
static struct miscdevice device = { .minor = MISC_DYNAMIC_MINOR, .name = "pair_base", .fops = &operations };

module_misc_device(device);
MODULE_LICENSE("GPL");
MODULE_VERSION(TEXT);
