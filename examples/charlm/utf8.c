/* utf8.c - characters in and out. */
#include "charlm.h"

#include <string.h>

int utf8_get(const unsigned char *s, size_t n, uint32_t *code) {
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 }; /* below, a shorter form would do */
    int size = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;
    if (size == 0 || (size_t)size > n) { return 0; }
    uint32_t c = size == 1 ? s[0] : s[0] & (0x7fu >> size);
    for (int i = 1; i < size; i++) {
        if ((s[i] & 0xc0) != 0x80) { return 0; }
        c = c << 6 | (s[i] & 0x3fu);
    }
    if (c < least[size] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) { return 0; }
    *code = c;
    return size;
}

int utf8_put(uint32_t code, char text[5]) {
    int size = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
    for (int i = size - 1; i > 0; i--) {
        text[i] = (char)(0x80 | (code & 0x3f));
        code >>= 6;
    }
    text[0] = (char)(lead[size] | code);
    text[size] = '\0';
    return size;
}

const char *utf8_describe(uint32_t code, utf8_name *name) {
    char text[5];
    utf8_put(code, text);
    if (code < 0x20 || (code >= 0x7f && code < 0xa0)) {
        snprintf(name->text, sizeof name->text, "U+%04X", (unsigned)code);
    } else {
        snprintf(name->text, sizeof name->text, "\"%s\" (U+%04X)", text, (unsigned)code);
    }
    return name->text;
}
