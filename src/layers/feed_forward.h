/* feed_forward.h - the feed-forward net as a part of a block, whose scope its parameters go under. */
#ifndef TARE_LAYERS_FEED_FORWARD_H
#define TARE_LAYERS_FEED_FORWARD_H

#include <tare/sequence.h>

/* tare__feed_forward - as tare_layer_feed_forward; without `scope` its "linear1", "linear2" and "gate" stand beside it, not below
 * its name. The norms of weights in `norm` (NULL: none) go to each. */
tare_layer *tare__feed_forward(tare_params *ps, const char *name, bool scope, int64_t width,
                               tare_layer_feed_forward_opt opt, const char *norm);

#endif
