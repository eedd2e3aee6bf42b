/* memory_limit.c - --memory-limit: what a step may take beside parameters, their gradients and the optimizer's state. */
#include <tare/run.h>

#include <inttypes.h>

enum { MIB = 1 << 20 };

static double state_bytes(const tare_optim *optim) {
    double values = (double)tare_params_flat_size(tare_optim_params(optim));
    return values * (2 + tare_optim_slots(optim)) * sizeof(tare_real);
}

tare_status tare_memory_limit(int64_t mib, tare_tape *tape, const tare_optim *optim) {
    if (mib <= 0) { return TARE_OK; }
    double state = state_bytes(optim), step = (double)mib * MIB - state;
    if (step <= 0) {
        return tare_fail(TARE_EINVAL,
                         "--memory-limit %" PRId64 ": parameters, gradients and the optimizer's state take %.1f MiB "
                         "without any step; allow more, or take a smaller model",
                         mib, state / MIB);
    }
    tare_tape_limit_set(tape, (size_t)step);
    return TARE_OK;
}

void tare_memory_limit_look(int64_t mib, const tare_tape *tape, const tare_optim *optim, tare_progress *progress,
                            bool *told) {
    double over = ((double)tare_tape_peak(tape) + state_bytes(optim)) / MIB - (double)mib;
    if (mib <= 0 || over <= 0 || *told) { return; }
    *told = true;
    tare_progress_print(
        progress, "--memory-limit %" PRId64 " cannot be kept: a step takes %.1f MiB more; smaller batches take less",
        mib, over);
}
