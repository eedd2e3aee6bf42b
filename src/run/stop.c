/* stop.c - a request to stop, from a signal or a closed pipe, that the training loop sees after its step. */
#include <tare/run.h>

#include <signal.h>

static volatile sig_atomic_t asked; /* the signal, 0: none */

static void on_signal(int number) { asked = number; }

void tare_stop_catch(void) {
    struct sigaction action = { .sa_handler = on_signal };
    action.sa_flags = (int)(SA_RESETHAND | SA_RESTART); /* the second one finds the default: it kills */
    sigemptyset(&action.sa_mask);
    static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
    for (int i = 0; i < 3; i++) {
        struct sigaction before;
        bool ignored = sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler == SIG_IGN;
        /* What the caller ignores stays ignored: nohup, and background jobs of a script. */
        if (!ignored) { sigaction(numbers[i], &action, NULL); }
    }
    signal(SIGPIPE, SIG_IGN);
}

int tare_stop(void) { return (int)asked; }
void tare_stop_ask(int number) { asked = number; }
