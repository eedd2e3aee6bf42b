/* taken_op.c - a plugin that brings an op twice. */
#include <tare/tare.h>

static tare_status check(tare_node *n) { return tare_node_fail(n, TARE_EINVAL, "never runs"); }
static void forward(tare_node *n) { (void)n; }

static const tare_op op = { .name = "double", .n_in = 1, .check = check, .forward = forward };
TARE_PLUGIN(.name = "taken_op", .ops = (const tare_op *const[]){ &op, &op, NULL });
