/* check.c - does the program take the plan's options? It is asked before anything is made: one of Tare's reads all that stands before
 * --version, and runs nothing. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "plan.h"

bool tare__plan_is_ours(const tare__plan *plan) {
    static const char *const ours[] = { "mnist", "charlm", "gan" };
    bool found = false;
    for (int i = 0; i < 3; i++) { found = found || strcmp(plan->program, ours[i]) == 0; }
    return found;
}

/* Exit code 2 is wrong usage; the first line says what is wrong. */
static tare_status ask(const char *command) {
    char why[512];
    FILE *answer = popen(command, "r");
    if (!answer) { return tare_fail(TARE_EIO, "no more processes: %s", strerror(errno)); }
    if (!fgets(why, sizeof why, answer)) { snprintf(why, sizeof why, "refused, without a word why: %s", command); }
    while (fgetc(answer) != EOF) {}
    int status = pclose(answer);
    why[strcspn(why, "\n")] = '\0';
    return WIFEXITED(status) && WEXITSTATUS(status) == 2 ? tare_fail(TARE_EINVAL, "%s", why) : TARE_OK;
}

/* The command of a point of the grid: this value of one axis, the first of the others. */
static tare_status check_value(const tare__plan *plan, const tare__axis *of, int64_t value) {
    tare__text t = { 0 };
    tare__words_quoted(&plan->start, &t);
    tare__text_add(&t, " ");
    tare__words_quoted(&plan->fixed, &t);
    for (int i = 0; i <= plan->axes; i++) {
        const tare__axis *axis = i < plan->axes ? &plan->axis[i] : &plan->tune;
        if (!axis->key) { continue; }
        tare__text_add(&t, " --");
        tare__text_quoted(&t, axis->key);
        tare__text_add(&t, " ");
        tare__text_quoted(&t, axis->values.at[axis == of ? value : 0]);
    }
    tare__text_add(&t, " --version 2>&1 >/dev/null </dev/null");
    char *command = tare__text_take(&t);
    tare_status s = command ? ask(command) : tare_fail(TARE_ENOMEM, "out of memory: a command");
    tare_free(command);
    return s;
}

tare_status tare__plan_check(const tare__plan *plan) {
    tare_status s = TARE_OK;
    if (!tare__plan_is_ours(plan)) { return s; }
    for (int i = 0; s == TARE_OK && i <= plan->axes; i++) {
        const tare__axis *axis = i < plan->axes ? &plan->axis[i] : &plan->tune;
        for (int64_t k = i > 0; s == TARE_OK && k < axis->values.count; k++) { s = check_value(plan, axis, k); }
    }
    return s;
}
