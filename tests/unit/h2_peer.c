#include "tests/unit/h2_peer.h"

#include <arpa/inet.h>
#include <bsd/string.h>
#include <check.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

struct sending {
	uint8_t *bytes;
	size_t len;
	size_t sent;
	bool open;
};

struct h2_peer {
	struct bufferevent *bev;
	nghttp2_session *session;
	bool raw;
	bool greeted;
	struct h2_seen seen;
	struct h2_stream streams[H2_PEER_STREAMS];
	struct sending sendings[H2_PEER_STREAMS];
};

static size_t
slot(int32_t id)
{
	ck_assert(id > 0 && id / 2 < H2_PEER_STREAMS);
	return (size_t)id / 2;
}

static void
flush(struct h2_peer *p)
{
	const uint8_t *data;
	ssize_t n;

	while ((n = nghttp2_session_mem_send(p->session, &data)) > 0)
		bufferevent_write(p->bev, data, (size_t)n);
}

static int
on_header(nghttp2_session *session, const nghttp2_frame *frame,
    const uint8_t *name, size_t name_len, const uint8_t *value, size_t len,
    uint8_t flags, void *arg)
{
	struct h2_peer *p = arg;
	struct h2_stream *s = &p->streams[slot(frame->hd.stream_id)];
	const char *n = (const char *)name, *v = (const char *)value;

	(void)session;
	(void)name_len;
	(void)len;
	(void)flags;
	if (strcmp(n, ":status") == 0)
		s->http = (unsigned)atoi(v);
	else if (strcmp(n, "grpc-status") == 0)
		s->code = atoi(v);
	else if (strcmp(n, "grpc-message") == 0)
		strlcpy(s->text, v, sizeof(s->text));
	else if (strcmp(n, "content-type") == 0)
		strlcpy(s->type, v, sizeof(s->type));
	else if (strcmp(n, "grpc-accept-encoding") == 0)
		strlcpy(s->accepts, v, sizeof(s->accepts));
	return 0;
}

static int
on_data(nghttp2_session *session, uint8_t flags, int32_t id,
    const uint8_t *data, size_t len, void *arg)
{
	struct h2_peer *p = arg;
	struct h2_stream *s = &p->streams[slot(id)];

	(void)session;
	(void)flags;
	if (s->len + len <= sizeof(s->body))
		memcpy(s->body + s->len, data, len);
	s->len += len;
	return 0;
}

static void
on_settings(struct h2_peer *p, const nghttp2_frame *frame)
{
	if ((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0)
		return;
	p->seen.settings++;
	p->seen.max_streams = nghttp2_session_get_remote_settings(p->session,
	    NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

static int
on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct h2_peer *p = arg;

	(void)session;
	if (frame->hd.type == NGHTTP2_SETTINGS)
		on_settings(p, frame);
	else if (frame->hd.type == NGHTTP2_HEADERS)
		p->streams[slot(frame->hd.stream_id)].headers++;
	else if (frame->hd.type == NGHTTP2_PING)
		p->seen.pings += (frame->hd.flags & NGHTTP2_FLAG_ACK) == 0;
	if (frame->hd.type != NGHTTP2_GOAWAY)
		return 0;
	p->seen.goaways++;
	p->seen.goaway_error = frame->goaway.error_code;
	return 0;
}

static int
on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *arg)
{
	struct h2_peer *p = arg;

	(void)session;
	p->streams[slot(id)].ended = 1;
	p->streams[slot(id)].error = error;
	return 0;
}

static ssize_t
read_body(nghttp2_session *session, int32_t id, uint8_t *buf, size_t cap,
    uint32_t *flags, nghttp2_data_source *source, void *arg)
{
	struct sending *s = source->ptr;
	size_t n = s->len - s->sent;

	(void)session;
	(void)id;
	(void)arg;
	if (n == 0 && s->open)
		return NGHTTP2_ERR_DEFERRED;
	if (n > cap)
		n = cap;
	memcpy(buf, s->bytes + s->sent, n);
	s->sent += n;
	if (s->sent == s->len && !s->open)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

static void
on_read(struct bufferevent *bev, void *arg)
{
	struct evbuffer *in = bufferevent_get_input(bev);
	size_t len = evbuffer_get_length(in);
	struct h2_peer *p = arg;

	/* Its SETTINGS must not be acknowledged before ours are said. */
	if (!p->raw && !p->greeted)
		return;
	if (p->seen.any == 0 && len >= sizeof(p->seen.first))
		evbuffer_copyout(in, p->seen.first, sizeof(p->seen.first));
	p->seen.any = 1;
	if (!p->raw)
		nghttp2_session_mem_recv(p->session, evbuffer_pullup(in, -1),
		    len);
	evbuffer_drain(in, len);
	if (!p->raw)
		flush(p);
}

static void
on_event(struct bufferevent *bev, short what, void *arg)
{
	struct h2_peer *p = arg;

	if ((what & BEV_EVENT_CONNECTED) != 0)
		return;
	bufferevent_disable(bev, EV_READ | EV_WRITE);
	p->seen.closed = 1;
}

static nghttp2_session *
session_new(struct h2_peer *p)
{
	nghttp2_session_callbacks *cbs;
	nghttp2_session *session;
	nghttp2_option *option;

	nghttp2_session_callbacks_new(&cbs);
	nghttp2_session_callbacks_set_on_header_callback(cbs, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cbs, on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cbs, on_frame);
	nghttp2_session_callbacks_set_on_stream_close_callback(cbs,
	    on_stream_close);
	nghttp2_option_new(&option);
	/* More streams than it was allowed are the server's to refuse. */
	nghttp2_option_set_peer_max_concurrent_streams(option, 1000);
	nghttp2_option_set_no_http_messaging(option, 1);
	nghttp2_session_client_new2(&session, cbs, p, option);
	nghttp2_option_del(option);
	nghttp2_session_callbacks_del(cbs);
	return session;
}

/* Not connected yet. */
static int
socket_from(uint8_t source)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_addr = { htonl((INADDR_LOOPBACK & ~0xffU) | source) } };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	return fd;
}

struct h2_peer *
h2_peer_new(struct event_base *base, uint8_t source, uint16_t port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr = { htonl(INADDR_LOOPBACK) } };
	struct h2_peer *p = xcalloc(1, sizeof(*p));

	for (size_t i = 0; i < H2_PEER_STREAMS; i++)
		p->streams[i].code = -1;
	p->session = session_new(p);
	p->bev = bufferevent_socket_new(base, socket_from(source),
	    BEV_OPT_CLOSE_ON_FREE);
	ck_assert_ptr_nonnull(p->bev);
	bufferevent_setcb(p->bev, on_read, NULL, on_event, p);
	bufferevent_enable(p->bev, EV_READ | EV_WRITE);
	ck_assert_int_eq(bufferevent_socket_connect(p->bev,
			     (struct sockaddr *)&sin, sizeof(sin)),
	    0);
	return p;
}

void
h2_peer_free(struct h2_peer *p)
{
	nghttp2_session_del(p->session);
	bufferevent_free(p->bev);
	for (size_t i = 0; i < H2_PEER_STREAMS; i++)
		free(p->sendings[i].bytes);
	free(p);
}

void
h2_peer_read(struct h2_peer *p, bool on)
{
	if (on)
		bufferevent_enable(p->bev, EV_READ);
	else
		bufferevent_disable(p->bev, EV_READ);
}

size_t
h2_peer_unsent(const struct h2_peer *p)
{
	return evbuffer_get_length(bufferevent_get_output(p->bev));
}

void
h2_peer_raw(struct h2_peer *p, const void *bytes, size_t len)
{
	p->raw = true;
	bufferevent_write(p->bev, bytes, len);
}

static void
greet(struct h2_peer *p, const nghttp2_settings_entry *settings, size_t n)
{
	if (p->greeted)
		return;
	p->greeted = true;
	nghttp2_submit_settings(p->session, NGHTTP2_FLAG_NONE, settings, n);
	on_read(p->bev, p);
}

void
h2_peer_window(struct h2_peer *p, uint32_t bytes)
{
	const nghttp2_settings_entry window = {
		NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, bytes
	};

	greet(p, &window, 1);
	flush(p);
}

static nghttp2_nv
nv(const char *name, const char *value)
{
	union {
		const char *in;
		uint8_t *out;
	} n = { name }, v = { value };

	return (nghttp2_nv){ n.out, v.out, strlen(name), strlen(value),
		NGHTTP2_NV_FLAG_NONE };
}

int32_t
h2_peer_request(struct h2_peer *p, const struct h2_request *r)
{
	nghttp2_nv headers[8] = {
		nv(":method", r->method != NULL ? r->method : "POST"),
		nv(":scheme", "http"),
		nv(":path", r->path),
		nv(":authority", "test"),
	};
	struct sending *s;
	nghttp2_data_provider data = { .read_callback = read_body };
	size_t n = 4;
	int32_t id;

	greet(p, NULL, 0);
	if (r->type == NULL)
		headers[n++] = nv("content-type", "application/grpc");
	else if (*r->type != '\0')
		headers[n++] = nv("content-type", r->type);
	for (size_t i = 0; i < 4 && r->more[i] != NULL; i += 2)
		headers[n++] = nv(r->more[i], r->more[i + 1]);
	id = (int32_t)nghttp2_session_get_next_stream_id(p->session);
	s = &p->sendings[slot(id)];
	s->open = r->open;
	s->len = r->len;
	s->bytes = r->len > 0 ? xmemdup(r->body, r->len) : NULL;
	data.source.ptr = s;
	id = nghttp2_submit_request(p->session, NULL, headers, n,
	    r->len > 0 || r->open ? &data : NULL, NULL);
	ck_assert_int_gt(id, 0);
	flush(p);
	return id;
}

void
h2_peer_reset(struct h2_peer *p, int32_t stream)
{
	nghttp2_submit_rst_stream(p->session, NGHTTP2_FLAG_NONE, stream,
	    NGHTTP2_CANCEL);
	flush(p);
}

void
h2_peer_ping(struct h2_peer *p)
{
	greet(p, NULL, 0);
	nghttp2_submit_ping(p->session, NGHTTP2_FLAG_NONE, NULL);
	flush(p);
}

const struct h2_stream *
h2_peer_stream(const struct h2_peer *p, int32_t id)
{
	return &p->streams[slot(id)];
}

const struct h2_seen *
h2_peer_seen(const struct h2_peer *p)
{
	return &p->seen;
}
