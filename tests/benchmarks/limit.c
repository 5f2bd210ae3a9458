// The physical limit: a minimal epoll server. POST (one JSON or NDJSON) in, SSE or WebSocket frames
// out; all events read in one round go out with one send() per subscriber.
//   limit PORT sse|ws MAXBATCH      (0: natural batches, 1: one send per event)
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
typedef struct {
    int fd, kind;
    char *in;
    int il, ic;
    char *pend;
    int pl, po;
} C; // kind 0 new,1 sub,2 pub
static C *subs[20000];
static int ns;
static char *fb;
static int fl, fc;
static long seq;
static int ws, mb;
static char *resp;
static int rl;
static void sendto_all(void) {
    if (!fl)
        return;
    for (int i = 0; i < ns; i++) {
        C *c = subs[i];
        if (c->pl > c->po) {
            c->pend = realloc(c->pend, c->pl + fl);
            memcpy(c->pend + c->pl, fb, fl);
            c->pl += fl;
            int k = send(c->fd, c->pend + c->po, c->pl - c->po, MSG_NOSIGNAL);
            if (k > 0)
                c->po += k;
            if (c->po == c->pl) {
                c->pl = c->po = 0;
            }
            continue;
        }
        int k = send(c->fd, fb, fl, MSG_NOSIGNAL);
        if (k < 0)
            k = 0;
        if (k < fl) {
            c->pend = realloc(c->pend, fl - k);
            memcpy(c->pend, fb + k, fl - k);
            c->pl = fl - k;
            c->po = 0;
        }
    }
    fl = 0;
}
static void ev(const char *b, int n) {
    if (fl + n + 64 > fc) {
        fc = (fl + n + 64) * 2;
        fb = realloc(fb, fc);
    }
    if (ws) {
        fb[fl] = (char)0x81;
        fb[fl + 1] = 126;
        fb[fl + 2] = n >> 8;
        fb[fl + 3] = n;
        fl += 4;
        memcpy(fb + fl, b, n);
        fl += n;
    } else {
        fl += sprintf(fb + fl, "id: %ld\ndata: ", ++seq);
        memcpy(fb + fl, b, n);
        fl += n;
        fb[fl++] = '\n';
        fb[fl++] = '\n';
    }
    if (mb == 1)
        sendto_all();
}
int main(int ac, char **av) {
    signal(SIGPIPE, SIG_IGN);
    int port = atoi(av[1]);
    ws = !strcmp(av[2], "ws");
    mb = ac > 3 ? atoi(av[3]) : 0;
    int l = socket(AF_INET, SOCK_STREAM, 0);
    int one = 1;
    setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, 4);
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(0x7f000001)};
    if (bind(l, (void *)&a, sizeof a)) {
        perror("bind");
        return 1;
    }
    listen(l, 4096);
    fcntl(l, F_SETFL, O_NONBLOCK);
    int ep = epoll_create1(0);
    struct epoll_event x = {.events = EPOLLIN, .data.ptr = NULL}, e[256];
    epoll_ctl(ep, EPOLL_CTL_ADD, l, &x);
    resp = malloc(1 << 20);
    for (;;) {
        int n = epoll_wait(ep, e, 256, 1);
        for (int i = 0; i < ns; i++) {
            C *c = subs[i];
            if (c->pl > c->po) {
                int k = send(c->fd, c->pend + c->po, c->pl - c->po, MSG_NOSIGNAL);
                if (k > 0)
                    c->po += k;
                if (c->po == c->pl)
                    c->pl = c->po = 0;
            }
        }
        for (int i = 0; i < n; i++) {
            C *c = e[i].data.ptr;
            if (!c) {
                int f;
                while ((f = accept4(l, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                    setsockopt(f, IPPROTO_TCP, TCP_NODELAY, &one, 4);
                    C *d = calloc(1, sizeof *d);
                    d->fd = f;
                    d->ic = 1 << 16;
                    d->in = malloc(d->ic);
                    x.data.ptr = d;
                    epoll_ctl(ep, EPOLL_CTL_ADD, f, &x);
                }
                continue;
            }
            if (c->ic - c->il < 65536) {
                c->ic += 1 << 17;
                c->in = realloc(c->in, c->ic);
            }
            int r = read(c->fd, c->in + c->il, c->ic - c->il - 1);
            if (r <= 0) {
                if (r < 0 && errno == EAGAIN)
                    continue;
                close(c->fd);
                for (int j = 0; j < ns; j++)
                    if (subs[j] == c) {
                        subs[j] = subs[--ns];
                        break;
                    }
                free(c->in);
                free(c);
                continue;
            }
            c->il += r;
            char *p = c->in, *z = c->in + c->il;
            rl = 0;
            for (;;) {
                char *h = memmem(p, z - p, "\r\n\r\n", 4);
                if (!h)
                    break;
                h += 4;
                if (*p == 'G') {
                    const char *m =
                        ws ? "HTTP/1.1 101 Switching Protocols\r\nUpgrade: "
                             "websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
                             "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
                           : "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
                    send(c->fd, m, strlen(m), 0);
                    c->kind = 1;
                    subs[ns++] = c;
                    p = h;
                    break;
                }
                char *cl = memmem(p, h - p, "Content-Length: ", 16);
                int bl = atoi(cl + 16);
                if (z - h < bl)
                    break;
                char *q = h;
                while (q < h + bl) {
                    char *nl = memchr(q, '\n', h + bl - q);
                    int k = (nl ? nl : h + bl) - q;
                    if (k > 0)
                        ev(q, k);
                    q += k + 1;
                }
                memcpy(resp + rl, "HTTP/1.1 202 OK\r\nContent-Length: 0\r\n\r\n", 38);
                rl += 38;
                p = h + bl;
            }
            memmove(c->in, p, z - p);
            c->il = z - p;
            sendto_all();
            if (rl)
                send(c->fd, resp, rl, MSG_NOSIGNAL);
        }
    }
}
