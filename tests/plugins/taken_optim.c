/* taken_optim.c - a plugin whose optimizer is called as one of Tare's. */
#include <tare/tare.h>

static void update(const tare_optim_range *r) { (void)r; }
static const tare_optim_class cls = { .name = "adam", .update = update };
TARE_PLUGIN(.name = "taken_optim", .optimizers = (const tare_optim_class *const[]){ &cls, NULL });
