/* status.c - status codes and this thread's last message. */
#include <tare/core.h>

#include <stdarg.h>
#include <stdio.h>

enum { MESSAGE_SIZE = 4096 }; /* room for a table of tensors that do not fit */

static _Thread_local char message[MESSAGE_SIZE];

const char *tare_status_text(tare_status status) {
    switch (status) {
#define TARE_STATUS_TEXT(name, text)                                                                                   \
    case name: return text;
        TARE_STATUS_MAP(TARE_STATUS_TEXT)
#undef TARE_STATUS_TEXT
    }
    return "unknown status";
}

const char *tare_error(void) { return message; }

#undef tare_fail /* core.h has one for clang's analyzer */
tare_status tare_fail(tare_status status, const char *format, ...) {
    /* Through a second buffer, since an argument may be the message itself: tare_fail(s, "x: %s", tare_error()). */
    char text[MESSAGE_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    snprintf(message, sizeof message, "%s", text);
    return status;
}
