/* page_files.h - page.html, page.css and the scripts, as cmake/embed.cmake puts them into C. Each ends with a zero byte that its
 * size leaves out. */
#ifndef TARE_SRC_REPORT_PAGE_FILES_H
#define TARE_SRC_REPORT_PAGE_FILES_H

#include <stddef.h>

extern const unsigned char tare__page_html[], tare__page_css[], tare__page_js[];
extern const size_t tare__page_html_size, tare__page_css_size, tare__page_js_size;

#endif
