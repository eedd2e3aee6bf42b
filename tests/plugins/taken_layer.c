/* taken_layer.c - a plugin that brings a layer twice. */
#include <tare/tare.h>

static tare_layer *make(tare_params *ps, const char *name, tare_shape features) {
    (void)features;
    return tare_layer_identity(ps, name);
}

static const tare_layer_kind kind = { .name = "twin", .make = make };
TARE_PLUGIN(.name = "taken_layer", .layers = (const tare_layer_kind *const[]){ &kind, &kind, NULL });
