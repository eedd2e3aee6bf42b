/* half_norm.c - a plugin whose norm has neither a make nor a transform. */
#include <tare/tare.h>

static const tare_norm_kind kind = { .name = "half" };
TARE_PLUGIN(.name = "half_norm", .norms = (const tare_norm_kind *const[]){ &kind, NULL });
