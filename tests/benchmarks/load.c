// Load generator for servers that fan events out. It opens N subscribers, publishes E events,
// checks that every subscriber got every event in order, and prints two lines: `live` when all
// subscribers are there and before the first event, and at the end JSON: events/s (ev_s),
// deliveries/s (del_s), end-to-end latency p50/p95/p99 in ms (lat_ms; its mean lat_mean), that of a
// publisher's answer (ack_ms, ack_mean), the server's CPU in us per delivery and per event (from
// /proc of the pids given, their children included), its memory, lost, errors.
//
//   -s sse|ws|nats|natsws|redis|xread|mqtt|none         subscriber kind
//   -p http|ws|redis|xadd|nats|js|mqtt|none             publisher kind; none: another one of these
//                                                       publishes the events that are awaited
//   -a HOST:PORT or /path/of.sock   -A the publisher's address, if another
//   -x subscribe path   -y publish path   -N subscribers   -E events   -K publisher connections
//   -D requests in flight per connection   -B events per request (NDJSON when > 1)
//   -G groups: event n has the project proj-(n mod G), and subscriber i expects those of i mod G;
//      {i} and {g} in -x are its number and its group
//   -r events per second (0: as fast as the mean subscriber follows, at most -W events ahead)
//   -P server pid,pid   -l label   -i SECONDS idle (memory)   -t timeout in s
// Environment: RTLOAD_HOST (Host header), RTLOAD_HEADER (more header lines, each ended by CR LF).
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
typedef uint64_t u64;
typedef uint32_t u32;
static u64 now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}
// ---- options
// RTLOAD_HEADER: extra request header lines, each ended by \\r\\n in the variable itself (printf
// can make them); RTLOAD_HOST: the Host header
static const char *hx(void) {
    const char *h = getenv("RTLOAD_HEADER");
    return h ? h : "";
}
static const char *hh(void) {
    const char *h = getenv("RTLOAD_HOST");
    return h ? h : "localhost";
}
static const char *sub = "sse", *pub = "http", *addr = "127.0.0.1:8000", *paddr = NULL,
                  *subpath = "/events", *pubpath = "/publish", *label = "", *pids = "";
static int N = 1, K = 1, D = 64, B = 1, W = 512, idle_s = 0, G = 1;
static long E = 1000;
static double rate = 0;
static int tmo = 30;
// ---- hist
#define HB 2048
static u64 hist[HB], ahist[HB];
static double lat_sum, ack_sum; // in ns
static inline int hb(u64 v) { // log bucket 5 bits mantissa, ns/64 units
    v >>= 6;
    if (v < 64)
        return v;
    int e = 63 - __builtin_clzll(v);
    int b = ((e - 5) << 5) + (v >> (e - 5));
    return b < HB ? b : HB - 1;
}
static double hval(int b) {
    if (b < 64)
        return (b + 0.5) * 64;
    int e = (b >> 5) + 4;
    u64 m = (b & 31) | 32;
    return ((double)m + 0.5) * (double)(1ull << (e - 5)) * 64;
}
static double mean(u64 *h, double sum) {
    u64 t = 0;
    for (int i = 0; i < HB; i++)
        t += h[i];
    return t ? sum / t : 0;
}
static double pct(u64 *h, double p) {
    u64 t = 0, c = 0;
    for (int i = 0; i < HB; i++)
        t += h[i];
    if (!t)
        return 0;
    u64 want = (u64)(p * t);
    for (int i = 0; i < HB; i++) {
        c += h[i];
        if (c > want)
            return hval(i);
    }
    return hval(HB - 1);
}
// ---- proc cpu
static double tick;
static void cpu_one(int pid, double *u, double *s, double *rss, int depth) {
    char p[64], b[2048];
    snprintf(p, 64, "/proc/%d/stat", pid);
    int f = open(p, O_RDONLY);
    if (f < 0)
        return;
    int n = read(f, b, 2047);
    close(f);
    if (n <= 0)
        return;
    b[n] = 0;
    char *q = strrchr(b, ')');
    if (!q)
        return;
    q += 2;
    unsigned long long a[30];
    char st;
    int c = 0;
    st = *q;
    q += 2;
    (void)st;
    while (c < 24) {
        a[c++] = strtoull(q, &q, 10);
    }
    // q fields start at ppid(4): index0=4; utime=14->10, stime=15->11, cutime=16->12,
    // cstime=17->13, rss=24->20
    *u += (a[10] + a[12]) / tick;
    *s += (a[11] + a[13]) / tick;
    *rss += a[20] * 4.0;
    if (depth < 4) {
        snprintf(p, 64, "/proc/%d/task/%d/children", pid, pid);
        f = open(p, O_RDONLY);
        if (f >= 0) {
            n = read(f, b, 2047);
            close(f);
            if (n > 0) {
                b[n] = 0;
                char *r = b;
                while (*r) {
                    int k = strtol(r, &r, 10);
                    if (k > 0)
                        cpu_one(k, u, s, rss, depth + 1);
                    while (*r == ' ')
                        r++;
                }
            }
        }
    }
}
static void cpu_all(double *u, double *s, double *rss) {
    *u = *s = *rss = 0;
    char b[256];
    strncpy(b, pids, 255);
    b[255] = 0;
    for (char *t = strtok(b, ","); t; t = strtok(NULL, ","))
        cpu_one(atoi(t), u, s, rss, 0);
}
// ---- connect
static int dial(const char *a) {
    int fd;
    if (a[0] == '/') {
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        struct sockaddr_un un = {.sun_family = AF_UNIX};
        strncpy(un.sun_path, a, sizeof un.sun_path - 1);
        if (connect(fd, (void *)&un, sizeof un)) {
            perror("connect");
            exit(2);
        }
    } else {
        char h[64];
        strncpy(h, a, 63);
        h[63] = 0;
        char *c = strchr(h, ':');
        *c = 0;
        fd = socket(AF_INET, SOCK_STREAM, 0);
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(atoi(c + 1))};
        inet_pton(AF_INET, h, &in.sin_addr);
        if (connect(fd, (void *)&in, sizeof in)) {
            perror("connect");
            exit(2);
        }
        int one = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}
static void wr(int fd, const void *b, size_t n) {
    const char *p = b;
    while (n) {
        ssize_t k = write(fd, p, n);
        if (k < 0) {
            if (errno == EAGAIN) {
                struct pollfd q = {fd, POLLOUT, 0};
                poll(&q, 1, 100);
                continue;
            }
            perror("write");
            exit(2);
        }
        p += k;
        n -= k;
    }
}
static int wsframe(char *o, const char *p, size_t n, int op) {
    int h = 2;
    o[0] = 0x80 | op;
    if (n < 126) {
        o[1] = 0x80 | n;
    } else if (n < 65536) {
        o[1] = (char)(0x80 | 126);
        o[2] = n >> 8;
        o[3] = n;
        h = 4;
    } else {
        o[1] = (char)(0x80 | 127);
        for (int i = 0; i < 8; i++)
            o[2 + i] = (u64)n >> (56 - 8 * i);
        h = 10;
    }
    memset(o + h, 0, 4);
    memcpy(o + h + 4, p, n);
    return h + 4 + n;
}
// ---- subscribers
typedef struct {
    int fd;
    int st;
    u32 exp;
    u32 skip;
    int cl;
    char carry[64];
    char *hs;
    int hl;
    u32 left;
} sc;
static sc *S;
static int live;
static _Atomic u64 delivered;
static u64 oerr, badn;
static _Atomic u64 done_subs;
static u64 t_first, t_last;
static int sub_stop;
static u64 bytes_in;
static int isx, isws;
static void xread(sc *c) {
    char b[160];
    char id[32];
    int il = snprintf(id, 32, "0-%u", c->exp);
    int n = snprintf(b, 160,
                     "*8\r\n$5\r\nXREAD\r\n$5\r\nCOUNT\r\n$4\r\n1000\r\n$5\r\nBLOCK\r\n$1\r\n0\r\n$"
                     "7\r\nSTREAMS\r\n$3\r\nzzs\r\n$%d\r\n%s\r\n",
                     il, id);
    wr(c->fd, b, n);
}
static u32 dig(const char *p, int n) {
    u32 v = 0;
    while (n--) {
        v = v * 10 + (*p++ - '0');
    }
    return v;
}
static u64 dig64(const char *p, int n) {
    u64 v = 0;
    while (n--) {
        v = v * 10 + (*p++ - '0');
    }
    return v;
}
#define TOK 33
static int scan(sc *c, char *b, char *e, u64 now) { // b..e includes carry
    char *p = b;
    int got = 0;
    if (c->skip) {
        size_t m = e - b;
        if (c->skip >= m) {
            c->skip -= m;
            return 0;
        }
        p += c->skip;
        c->skip = 0;
    }
    for (;;) {
        if (isx && c->left == 0) {
            char *h = memmem(p, e - p, "zzs\r\n*", 6);
            if (!h) {
                int k = e - p > 6 ? 6 : e - p;
                memcpy(c->carry, e - k, k);
                c->cl = k;
                return got;
            }
            char *r = memchr(h, '\r', 4) ? h + 6 : h + 6;
            char *z = memchr(r, '\n', e - r);
            if (!z) {
                int k = e - h;
                if (k > 40)
                    k = 40;
                memcpy(c->carry, h, k);
                c->cl = k;
                return got;
            }
            c->left = atoi(r);
            p = z + 1;
        }
        char *q = memmem(p, e - p, "@@", 2);
        if (!q) {
            if (e > p && e[-1] == '@') {
                c->carry[0] = '@';
                c->cl = 1;
            }
            return got;
        }
        if (e - q < TOK) {
            c->cl = e - q;
            memcpy(c->carry, q, c->cl);
            return got;
        }
        u32 n = dig(q + 2, 10);
        u64 t = dig64(q + 13, 20);
        if (q[12] != ':') {
            p = q + 2;
            badn++;
            continue;
        }
        if (n != c->exp)
            oerr++;
        c->exp = n + G;
        got++;
        if (!t_first) // somebody else publishes
            t_first = t;
        hist[hb(now > t ? now - t : 0)]++;
        lat_sum += now > t ? now - t : 0;
        p = q + TOK + 120;
        if (isx && --c->left == 0 && c->exp < (u32)E)
            xread(c);
        if (p > e) {
            c->skip = p - e;
            return got;
        }
    }
}
// The subscriber's path: each {i} is its number, each {g} that of its group.
static void expand(char *o, size_t room, int i) {
    const char *p = subpath;
    size_t n = 0;
    while (*p && n + 12 < room) {
        if (!strncmp(p, "{i}", 3) || !strncmp(p, "{g}", 3)) {
            n += sprintf(o + n, "%d", p[1] == 'i' ? i : i % G);
            p += 3;
        } else
            o[n++] = *p++;
    }
    o[n] = 0;
}
static void hs_send(sc *c, int i) {
    char b[1024];
    int n = 0;
    char path[512];
    expand(path, sizeof path, i);
    if (!strcmp(sub, "sse"))
        n = snprintf(b, 1024, "GET %s HTTP/1.1\r\nHost: %s\r\n%sAccept: text/event-stream\r\n\r\n",
                     path, hh(), hx());
    else if (isws || !strcmp(sub, "natsws"))
        n = snprintf(b, 1024,
                     "GET %s HTTP/1.1\r\nHost: %s\r\n%sUpgrade: websocket\r\nConnection: "
                     "Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
                     "dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                     path, hh(), hx());
    else if (!strcmp(sub, "nats"))
        n = snprintf(b, 1024,
                     "CONNECT {\"verbose\":false,\"pedantic\":false}\r\nSUB ev 1\r\nPING\r\n");
    else if (!strcmp(sub, "redis"))
        n = snprintf(b, 1024, "*2\r\n$9\r\nSUBSCRIBE\r\n$2\r\nev\r\n");
    else if (!strcmp(sub, "xread")) {
        n = snprintf(b, 1024, "*1\r\n$4\r\nPING\r\n");
    } else if (!strcmp(sub, "mqtt")) {
        char id[16];
        int il = snprintf(id, 16, "s%d", i);
        b[0] = 0x10;
        b[1] = 12 + il;
        memcpy(b + 2, "\0\4MQTT\4\2\0\0", 10);
        b[12] = 0;
        b[13] = il;
        memcpy(b + 14, id, il);
        n = 14 + il;
        memcpy(b + n, "\x82\x07\0\1\0\2ev\0", 9);
        n += 9;
    }
    wr(c->fd, b, n);
}
static int hs_recv(sc *c, char *b, int n, char **rest, int *rn) {
    if (!c->hs) {
        c->hs = malloc(4096);
        c->hl = 0;
    }
    int k = n;
    if (c->hl + k > 4095)
        k = 4095 - c->hl;
    memcpy(c->hs + c->hl, b, k);
    c->hl += k;
    c->hs[c->hl] = 0;
    char *e = NULL;
    if (!strcmp(sub, "nats"))
        e = memmem(c->hs, c->hl, "PONG\r\n", 6), e = e ? e + 6 : NULL;
    else if (!strcmp(sub, "redis"))
        e = memmem(c->hs, c->hl, ":1\r\n", 4), e = e ? e + 4 : NULL;
    else if (!strcmp(sub, "xread")) {
        e = memmem(c->hs, c->hl, "+PONG\r\n", 7), e = e ? e + 7 : NULL;
        if (e)
            xread(c);
    } else if (!strcmp(sub, "mqtt"))
        e = c->hl >= 9 ? c->hs + 9 : NULL;
    else if (!strcmp(sub, "natsws")) {
        if (c->st == 0) {
            e = memmem(c->hs, c->hl, "\r\n\r\n", 4);
            if (e) {
                char o[256];
                const char *m =
                    "CONNECT {\"verbose\":false,\"pedantic\":false}\r\nSUB ev 1\r\nPING\r\n";
                int l = wsframe(o, m, strlen(m), 1);
                wr(c->fd, o, l);
                c->st = -1;
            }
            e = NULL;
        } else
            e = memmem(c->hs, c->hl, "PONG\r\n", 6), e = e ? e + 6 : NULL;
    } else {
        e = memmem(c->hs, c->hl, "\r\n\r\n", 4);
        if (e) {
            e += 4;
            if (!memmem(c->hs, 20, " 200", 4) && !memmem(c->hs, 20, " 101", 4)) {
                fprintf(stderr, "bad handshake: %.300s\n", c->hs);
                exit(3);
            }
        }
    }
    if (!e)
        return 0;
    *rn = c->hl - (e - c->hs);
    *rest = malloc(*rn + 1);
    memcpy(*rest, e, *rn);
    free(c->hs);
    c->hs = NULL;
    c->st = 1;
    return 1;
}
static int ep;
static char *RB;
#define RBS (256 * 1024)
static void sub_loop(int phase) { // phase0: connect all; phase1: run
    struct epoll_event ev[512];
    static int next = 0;
    for (;;) {
        if (phase == 0) {
            while (next < N && next - live < 32) {
                sc *c = &S[next];
                c->exp = next % G;
                c->fd = dial(addr);
                hs_send(c, next);
                struct epoll_event x = {.events = EPOLLIN, .data.u32 = next};
                epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &x);
                next++;
            }
            if (live == N)
                return;
        } else if (sub_stop)
            return;
        int n = epoll_wait(ep, ev, 512, phase ? 20 : 1000);
        if (phase == 0 && n == 0) {
            fprintf(stderr, "handshake stalled %d/%d\n", live, N);
            exit(3);
        }
        u64 tot = 0;
        for (int i = 0; i < n; i++) {
            sc *c = &S[ev[i].data.u32];
            int r = read(c->fd, RB + 64, RBS);
            if (r == 0 || (r < 0 && errno != EAGAIN)) {
                fprintf(stderr, "sub %u closed at n=%u (%s)\n", ev[i].data.u32, c->exp,
                        r ? strerror(errno) : "eof");
                epoll_ctl(ep, EPOLL_CTL_DEL, c->fd, NULL);
                oerr++;
                continue;
            }
            if (r < 0)
                continue;
            bytes_in += r;
            u64 now = now_ns();
            if (c->st != 1) {
                char *rest;
                int rn;
                if (hs_recv(c, RB + 64, r, &rest, &rn)) {
                    live++;
                    if (rn) {
                        memcpy(RB + 64, rest, rn);
                        tot += scan(c, RB + 64, RB + 64 + rn, now);
                    }
                    free(rest);
                }
                continue;
            }
            char *b = RB + 64;
            if (c->cl) {
                b -= c->cl;
                memcpy(b, c->carry, c->cl);
                c->cl = 0;
            }
            int g = scan(c, b, RB + 64 + r, now);
            tot += g;
            if (g && c->exp >= (u32)E) {
                done_subs++;
                t_last = now;
            }
        }
        if (tot)
            atomic_fetch_add(&delivered, tot);
    }
}
static void *sub_thread(void *x) {
    sub_loop(1);
    return NULL;
}
// ---- publisher
typedef struct {
    int fd;
    char *ob;
    int ol, oo, oc;
    int out;
    u64 *ts;
    u32 th, tt;
    char ib[65536 + 64];
    int il;
} pc;
static u64 acks_bad;
static long sent;
static u32 run_id; // a new one each run, so that event ids never repeat between runs
static int event(char *o, long n, u64 t) {
    if (!run_id)
        run_id = (u32)time(NULL) ^ ((u32)getpid() << 16);
    return sprintf(
        o,
        "{\"type\":\"file_change\",\"data\":{\"k\":\"@@%010u:%020llu\",\"file_path\":\"src/api/"
        "realtime_service.py\",\"change_type\":\"modified\"},\"timestamp\":1760000000.123456,"
        "\"source\":\"watcher\",\"project_id\":\"proj-%ld\",\"event_id\":\"%08x-0000-4000-8000-%"
        "012u\"}",
        (u32)n, (unsigned long long)t, n % G, run_id, (u32)n);
}
static void need(pc *c, int n) {
    if (c->ol + n > c->oc) {
        c->oc = (c->ol + n) * 2;
        c->ob = realloc(c->ob, c->oc);
    }
}
static char *body;
static int mk(pc *c) { // append one request of up to B events; returns events
    int k = 0;
    int bl = 0;
    u64 t = now_ns();
    int m = B;
    if (sent + m > E)
        m = E - sent;
    if (!strcmp(pub, "http") || !strcmp(pub, "ws")) {
        for (k = 0; k < m; k++) {
            bl += event(body + bl, sent++, t);
            if (B > 1)
                body[bl++] = '\n';
        }
        need(c, bl + 400);
        if (pub[0] == 'w') {
            c->ol += wsframe(c->ob + c->ol, body, bl, 1);
        } else {
            c->ol += sprintf(c->ob + c->ol,
                             "POST %s HTTP/1.1\r\nHost: %s\r\n%sContent-Type: "
                             "application/%s\r\nContent-Length: %d\r\n\r\n",
                             pubpath, hh(), hx(), B > 1 ? "x-ndjson" : "json", bl);
            memcpy(c->ob + c->ol, body, bl);
            c->ol += bl;
        }
    } else if (!strcmp(pub, "redis")) {
        bl = event(body, sent++, t);
        k = 1;
        need(c, bl + 100);
        c->ol +=
            sprintf(c->ob + c->ol, "*3\r\n$7\r\nPUBLISH\r\n$2\r\nev\r\n$%d\r\n%s\r\n", bl, body);
    } else if (!strcmp(pub, "xadd")) {
        char id[32];
        int il = sprintf(id, "0-%ld", sent + 1);
        bl = event(body, sent++, t);
        k = 1;
        need(c, bl + 200);
        if (K > 1) {
            id[0] = '*';
            id[1] = 0;
            il = 1;
        }
        c->ol += sprintf(c->ob + c->ol,
                         "*8\r\n$4\r\nXADD\r\n$3\r\nzzs\r\n$6\r\nMAXLEN\r\n$1\r\n~\r\n$"
                         "6\r\n100000\r\n$%d\r\n%s\r\n$1\r\nd\r\n$%d\r\n%s\r\n",
                         il, id, bl, body);
    } else if (!strcmp(pub, "nats")) {
        for (k = 0; k < m; k++) {
            bl = event(body, sent++, t);
            need(c, bl + 100);
            c->ol += sprintf(c->ob + c->ol, "PUB ev %d\r\n%s\r\n", bl, body);
        }
        need(c, 8);
        memcpy(c->ob + c->ol, "PING\r\n", 6);
        c->ol += 6;
    } else if (!strcmp(pub, "js")) {
        bl = event(body, sent++, t);
        k = 1;
        need(c, bl + 100);
        c->ol += sprintf(c->ob + c->ol, "PUB ev _INB.%d %d\r\n%s\r\n", (int)(c->fd), bl, body);
    } else if (!strcmp(pub, "mqtt")) {
        bl = event(body, sent++, t);
        k = 1;
        need(c, bl + 100);
        int rl = bl + 4;
        c->ob[c->ol++] = 0x30;
        c->ob[c->ol++] = (rl & 127) | 128;
        c->ob[c->ol++] = rl >> 7;
        memcpy(c->ob + c->ol, "\0\2ev", 4);
        c->ol += 4;
        memcpy(c->ob + c->ol, body, bl);
        c->ol += bl;
    }
    if (strcmp(pub, "mqtt")) {
        c->ts[c->th++ % 8192] = t;
        c->out++;
    }
    return k;
}
static int count(char *b, int n, const char *s, int l) {
    int k = 0;
    char *p = b, *e = b + n;
    while ((p = memmem(p, e - p, s, l))) {
        k++;
        p += l;
    }
    return k;
}
static void pub_read(pc *c) {
    for (;;) {
        int r = read(c->fd, c->ib + c->il, 65536);
        if (r == 0) {
            fprintf(stderr, "publisher closed\n");
            exit(4);
        }
        if (r < 0)
            return;
        u64 now = now_ns();
        int n = c->il + r, k = 0, keep = 0;
        if (!strcmp(pub, "http")) {
            k = count(c->ib, n, "HTTP/1.1 2", 10);
            int bad = count(c->ib, n, "HTTP/1.1 4", 10) + count(c->ib, n, "HTTP/1.1 5", 10);
            if (bad) {
                if (!acks_bad)
                    fprintf(stderr, "BAD: %.200s\n", c->ib);
                acks_bad += bad;
                k += bad;
            }
            keep = 9;
            if (n < 9)
                keep = n;                // a match cannot sit in last 9 bytes
        } else if (!strcmp(pub, "ws")) { // each ack is a short text frame 0x81 len
            int p = 0;
            while (p + 2 <= n) {
                int l = c->ib[p + 1] & 127;
                if (p + 2 + l > n)
                    break;
                if ((c->ib[p] & 15) == 1)
                    k++;
                p += 2 + l;
            }
            keep = n - p;
        } else if (!strcmp(pub, "redis")) {
            k = count(c->ib, n, "\n", 1);
            if (c->ib[0] == '-')
                fprintf(stderr, "%.80s\n", c->ib);
        } else if (!strcmp(pub, "xadd")) {
            static int half = 0;
            static int halves[4096];
            int *h = &halves[c->fd & 4095];
            (void)half;
            *h += count(c->ib, n, "\n", 1);
            k = *h / 2;
            *h %= 2;
            if (c->ib[0] == '-')
                fprintf(stderr, "%.80s\n", c->ib);
        } else if (!strcmp(pub, "nats")) {
            k = count(c->ib, n, "PONG", 4);
            keep = n < 3 ? n : 3;
            if (k && !memcmp(c->ib + n - 2, "\r\n", 2))
                keep = 0;
        } else if (!strcmp(pub, "js")) {
            k = count(c->ib, n, "\"seq\":", 6);
            keep = n < 5 ? n : 5;
        }
        if (keep)
            memmove(c->ib, c->ib + n - keep, keep);
        c->il = keep;
        while (k-- && c->out > 0) {
            u64 t = c->ts[c->tt++ % 8192];
            ahist[hb(now - t)]++;
            ack_sum += now - t;
            c->out--;
        }
    }
}
static void *pub_thread(void *x) {
    pc *P = calloc(K, sizeof(pc));
    body = malloc((size_t)B * 400 + 4096);
    struct pollfd *pf = calloc(K, sizeof *pf);
    for (int i = 0; i < K; i++) {
        P[i].fd = dial(paddr ? paddr : addr);
        P[i].ts = malloc(8192 * 8);
        P[i].oc = 1 << 20;
        P[i].ob = malloc(P[i].oc);
        char b[1024];
        int n = 0;
        const char *ok = NULL;
        if (!strcmp(pub, "nats") || !strcmp(pub, "js")) {
            n = sprintf(b,
                        "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":false}\r\nSUB "
                        "_INB.%d 9\r\nPING\r\n",
                        P[i].fd);
            ok = "PONG";
        }
        if (!strcmp(pub, "ws")) {
            n = sprintf(b,
                        "GET %s HTTP/1.1\r\nHost: %s\r\n%sUpgrade: websocket\r\nConnection: "
                        "Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
                        "dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                        pubpath, hh(), hx());
            ok = "\r\n\r\n";
        }
        if (!strcmp(pub, "mqtt")) {
            memcpy(b, "\x10\x0f\0\4MQTT\4\2\0\0\0\3pub", 17);
            n = 17;
            ok = " ";
            ok = "\x20";
        }
        if (n) {
            wr(P[i].fd, b, n);
            char r[4096];
            int l = 0;
            for (int tries = 0; tries < 200; tries++) {
                int q = read(P[i].fd, r + l, 4095 - l);
                if (q > 0) {
                    l += q;
                    r[l] = 0;
                    if (memmem(r, l, ok, strlen(ok)))
                        break;
                }
                usleep(5000);
            }
        }
        pf[i].fd = P[i].fd;
    }
    t_first = now_ns();
    u64 lim_end = 0;
    for (;;) {
        int allout = 0, wrote = 0;
        int winclosed = 0;
        for (int i = 0; i < K; i++) {
            pc *c = &P[i];
            if (c->oo == c->ol) {
                c->oo = c->ol = 0;
                while (sent < E && c->out < D && c->ol < 262144) {
                    if (rate > 0) {
                        u64 due = t_first + (u64)(sent * 1e9 / rate);
                        u64 nw = now_ns();
                        if (nw < due) {
                            if (c->ol == 0 && K == 1 && due - nw > 100000) {
                                struct timespec ts;
                                u64 w = due - nw;
                                if (w > 2000000)
                                    w = 2000000;
                                ts.tv_sec = 0;
                                ts.tv_nsec = w;
                                if (c->out) {
                                    struct pollfd q = {c->fd, POLLIN, 0};
                                    ppoll(&q, 1, &ts, NULL);
                                    pub_read(c);
                                } else
                                    nanosleep(&ts, NULL);
                                continue;
                            }
                            winclosed = 2;
                            break;
                        }
                    } else if (N) {
                        u64 d = atomic_load(&delivered);
                        if ((u64)sent * N > d * G + (u64)W * N) {
                            winclosed = 1;
                            break;
                        }
                    }
                    mk(c);
                    if (rate > 0)
                        break;
                }
            }
            if (c->oo < c->ol) {
                int k = write(c->fd, c->ob + c->oo, c->ol - c->oo);
                if (k > 0) {
                    c->oo += k;
                    wrote = 1;
                } else if (errno != EAGAIN) {
                    perror("pub write");
                    exit(4);
                }
            }
            allout += c->out;
            pf[i].events = POLLIN | (c->oo < c->ol ? POLLOUT : 0);
        }
        if (sent >= E && allout == 0) {
            int pend = 0;
            for (int i = 0; i < K; i++)
                pend |= P[i].oo < P[i].ol;
            if (!pend)
                break;
        }
        if (sent >= E && !lim_end)
            lim_end = now_ns() + (u64)tmo * 1000000000ull;
        if (lim_end && now_ns() > lim_end) {
            fprintf(stderr, "publisher acks timeout out=%d\n", allout);
            break;
        }
        if (!strcmp(pub, "mqtt")) {
            if (winclosed)
                usleep(50);
            continue;
        }
        struct timespec ts = {0, winclosed == 1 ? 50000 : winclosed == 2 ? 100000 : 2000000};
        if (wrote && sent < E && !winclosed && K == 1 && P[0].out < D)
            ts.tv_nsec = 0;
        if (winclosed == 1 && allout == 0) {
            nanosleep(&ts, NULL);
            continue;
        }
        ppoll(pf, K, &ts, NULL);
        for (int i = 0; i < K; i++)
            if (pf[i].revents & POLLIN)
                pub_read(&P[i]);
    }
    return NULL;
}
int main(int ac, char **av) {
    tick = sysconf(_SC_CLK_TCK);
    int o;
    static struct option lo[] = {
        {"sub", 1, 0, 's'},   {"pub", 1, 0, 'p'},     {"addr", 1, 0, 'a'},
        {"paddr", 1, 0, 'A'}, {"subpath", 1, 0, 'x'}, {"pubpath", 1, 0, 'y'},
        {"label", 1, 0, 'l'}, {"pids", 1, 0, 'P'},    {"rate", 1, 0, 'r'},
        {"idle", 1, 0, 'i'},  {"timeout", 1, 0, 't'}, {0}};
    while ((o = getopt_long(ac, av, "s:p:a:A:x:y:l:P:r:N:K:D:B:W:E:i:t:G:", lo, NULL)) > 0)
        switch (o) {
        case 's':
            sub = optarg;
            break;
        case 'p':
            pub = optarg;
            break;
        case 'a':
            addr = optarg;
            break;
        case 'A':
            paddr = optarg;
            break;
        case 'x':
            subpath = optarg;
            break;
        case 'y':
            pubpath = optarg;
            break;
        case 'l':
            label = optarg;
            break;
        case 'P':
            pids = optarg;
            break;
        case 'r':
            rate = atof(optarg);
            break;
        case 'N':
            N = atoi(optarg);
            break;
        case 'K':
            K = atoi(optarg);
            break;
        case 'D':
            D = atoi(optarg);
            break;
        case 'B':
            B = atoi(optarg);
            break;
        case 'W':
            W = atoi(optarg);
            break;
        case 'E':
            E = atol(optarg);
            break;
        case 'G':
            G = atoi(optarg);
            break;
        case 'i':
            idle_s = atoi(optarg);
            break;
        case 't':
            tmo = atoi(optarg);
            break;
        default:
            return 1;
        }
    if (!strcmp(sub, "none"))
        N = 0;
    isx = !strcmp(sub, "xread");
    isws = !strcmp(sub, "ws");
    RB = malloc(RBS + 128);
    S = calloc(N + 1, sizeof(sc));
    ep = epoll_create1(0);
    double u0, s0, r0, u1, s1, r1, u2, s2, r2;
    cpu_all(&u0, &s0, &r0);
    u64 c0 = now_ns();
    if (N)
        sub_loop(0);
    u64 c1 = now_ns();
    if (idle_s)
        sleep(idle_s);
    else
        usleep(300000);
    cpu_all(&u1, &s1, &r1);
    puts("live");
    fflush(stdout);
    struct rusage ru0, ru1;
    getrusage(RUSAGE_SELF, &ru0);
    u64 d0 = delivered;
    (void)d0;
    if (E > 0 && (strcmp(pub, "none") || !idle_s)) {
        pthread_t a, b;
        if (N)
            pthread_create(&a, NULL, sub_thread, NULL);
        if (strcmp(pub, "none")) {
            pthread_create(&b, NULL, pub_thread, NULL);
            pthread_join(b, NULL);
        }
        u64 tp = now_ns();
        u64 last = delivered, lt = now_ns();
        if (N) {
            while (done_subs < (u64)N) {
                usleep(2000);
                u64 d = delivered;
                if (d != last) {
                    last = d;
                    lt = now_ns();
                }
                if (now_ns() - lt > (u64)tmo * 1000000000ull / 3)
                    break;
            }
            sub_stop = 1;
            pthread_join(a, NULL);
        } else
            t_last = tp;
        if (done_subs < (u64)N)
            t_last = lt;
        getrusage(RUSAGE_SELF, &ru1);
        cpu_all(&u2, &s2, &r2);
        double dt = (t_last - t_first) / 1e9, pdt = (tp - t_first) / 1e9;
        u64 del = N ? delivered : (u64)E;
        double lc = (ru1.ru_utime.tv_sec - ru0.ru_utime.tv_sec) +
                    (ru1.ru_utime.tv_usec - ru0.ru_utime.tv_usec) / 1e6 +
                    (ru1.ru_stime.tv_sec - ru0.ru_stime.tv_sec) +
                    (ru1.ru_stime.tv_usec - ru0.ru_stime.tv_usec) / 1e6;
        u64 expected = 0;
        for (int i = 0; i < N; i++)
            expected += (E - i % G + G - 1) / G;
        int ok = N ? (done_subs == (u64)N && oerr == 0 && delivered == expected) : (acks_bad == 0);
        double cpu = (u2 - u1) + (s2 - s1);
        printf("{\"label\":\"%s\",\"ok\":%s,\"N\":%d,\"E\":%ld,\"rate\":%.0f,\"B\":%d,\"K\":%d,"
               "\"D\":%d,\"s\":%.2f,\"ev_s\":%.0f,\"del_s\":%.0f,\"lat_ms\":[%.2f,%.2f,%.2f],"
               "\"lat_mean\":%.3f,\"ack_ms\":[%.3f,%.3f,%.3f],\"ack_mean\":%.3f,"
               "\"srv_cpu\":%.2f,\"srv_user\":%.2f,\"cpu_us_per_del\":%.3f,"
               "\"cpu_us_per_ev\":%.2f,\"cpu_pct\":%.0f,\"lg_cpu\":%.2f,\"rss_mb\":%.0f,\"MB_in\":%"
               ".0f,\"lost\":%lld,\"oerr\":%llu}\n",
               label, ok ? "true" : "false", N, E, rate, B, K, D, dt, E / pdt, del / dt,
               pct(hist, .5) / 1e6, pct(hist, .95) / 1e6, pct(hist, .99) / 1e6,
               mean(hist, lat_sum) / 1e6, pct(ahist, .5) / 1e6, pct(ahist, .95) / 1e6,
               pct(ahist, .99) / 1e6, mean(ahist, ack_sum) / 1e6, cpu, u2 - u1,
               cpu * 1e6 / del, cpu * 1e6 / E, 100 * cpu / dt, lc, r2 / 1024, bytes_in / 1e6,
               N ? (long long)(expected - del) : 0, (unsigned long long)oerr);
    } else
        printf("{\"label\":\"%s\",\"idle\":true,\"N\":%d,\"connect_s\":%.2f,\"conn_per_s\":%.0f,"
               "\"conn_cpu_us\":%.1f,\"rss0_kb\":%.0f,\"rss1_kb\":%.0f,\"kb_per_conn\":%.2f}\n",
               label, N, (c1 - c0) / 1e9, N / ((c1 - c0) / 1e9),
               ((u1 - u0) + (s1 - s0)) * 1e6 / (N ? N : 1), r0, r1, (r1 - r0) / (N ? N : 1));
    return 0;
}
