/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What of the machine keeps the gateway from working well, each with the command that mends it. It
 * looks and says; it changes nothing.
 */
#include "gatewayd/findings.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "gatewayd/encode.h"
#include "gatewayd/netlink.h"
#include "gatewayd/transact.h"
#include "lib/file.h"
#include "lib/number.h"

/* ip_local_reserved_ports may list many. */
#define SETTING_MAX ((size_t)1 << 20)
#define DRY_RUN_TIMEOUT_MS 1000

static size_t add(struct finding ret[FINDINGS_MAX], size_t n, bool error, const char *remedy,
		  const char *format, ...) _printf_(5, 6);

static size_t add(struct finding ret[FINDINGS_MAX], size_t n, bool error, const char *remedy,
		  const char *format, ...)
{
	va_list arguments;

	if (n == FINDINGS_MAX)
		return n;
	ret[n].error = error;
	(void)snprintf(ret[n].remedy, sizeof(ret[n].remedy), "%s", remedy);
	va_start(arguments, format);
	(void)vsnprintf(ret[n].message, sizeof(ret[n].message), format, arguments);
	va_end(arguments);
	return n + 1;
}

/* A setting under /proc/sys/net, which shows this process's network namespace; NULL if unreadable.
 */
static char *read_setting(const char *path)
{
	char *text = NULL;

	if (file_read(path, SETTING_MAX, &text, NULL, NULL) < 0)
		return NULL;
	text[strcspn(text, "\n")] = '\0';
	return text;
}

static bool has_family(const struct admission *admission, uint8_t family)
{
	for (size_t i = 0; i < admission->n_addresses; i++)
		if (admission->addresses[i].family == family)
			return true;
	return false;
}

static size_t check_forwarding(struct finding ret[FINDINGS_MAX], size_t n,
			       const struct admission *admission)
{
	_cleanup_free_ char *v4 = read_setting("/proc/sys/net/ipv4/ip_forward");
	_cleanup_free_ char *v6 = read_setting("/proc/sys/net/ipv6/conf/all/forwarding");

	if (has_family(admission, AF_INET) && v4 && strcmp(v4, "0") == 0)
		n = add(ret, n, false, "sysctl -w net.ipv4.ip_forward=1",
			"IPv4 forwarding is off: no connection reaches a host");
	if (has_family(admission, AF_INET6) && v6 && strcmp(v6, "0") == 0)
		n = add(ret, n, false, "sysctl -w net.ipv6.conf.all.forwarding=1",
			"IPv6 forwarding is off: no connection reaches a host");
	return n;
}

/* Ports that the kernel may give to the gateway's own outgoing connections. */
struct port_ranges {
	uint64_t low, high;
	char *reserved; /* "8080,9148-9150" */
};

static bool is_reserved(const char *reserved, uint16_t port)
{
	const char *at = reserved;
	uint64_t low, high;

	while (at && *at) {
		if (number_parse(at, &low, &at) < 0)
			return false;
		high = low;
		if (*at == '-' && number_parse(at + 1, &high, &at) < 0)
			return false;
		if (port >= low && port <= high)
			return true;
		at = *at == ',' ? at + 1 : NULL;
	}
	return false;
}

/* "32768\t60999" */
static bool read_range(const char *text, struct port_ranges *ranges)
{
	if (!text || number_parse(text, &ranges->low, &text) < 0)
		return false;
	text += strspn(text, " \t");
	return number_parse(text, &ranges->high, NULL) == 0;
}

static size_t check_port_range(struct finding ret[FINDINGS_MAX], size_t n,
			       const struct ledger *ledger)
{
	_cleanup_free_ char *range = read_setting("/proc/sys/net/ipv4/ip_local_port_range");
	_cleanup_free_ char *reserved = read_setting("/proc/sys/net/ipv4/ip_local_reserved_ports");
	struct port_ranges ranges = { .reserved = reserved };
	size_t index = 0, count = 0;
	uint16_t lowest = UINT16_MAX, highest = 0;
	const struct entry *entry;
	char remedy[160];

	if (!read_range(range, &ranges))
		return n;
	while ((entry = ledger_next(ledger, &index))) {
		uint16_t port = entry->key.port;

		if (port < ranges.low || port > ranges.high || is_reserved(reserved, port))
			continue;
		count++;
		lowest = MIN(lowest, port);
		highest = MAX(highest, port);
	}
	if (count == 0)
		return n;
	(void)snprintf(remedy, sizeof(remedy),
		       "sysctl -w net.ipv4.ip_local_reserved_ports=%s%s%u-%u",
		       reserved && strlen(reserved) < 80 ? reserved : "",
		       reserved && *reserved && strlen(reserved) < 80 ? "," : "", lowest, highest);
	return add(ret, n, false, remedy,
		   "%zu mapped ports lie within ip_local_port_range (%" PRIu64 " to %" PRIu64
		   "): connections of the "
		   "gateway itself may use them",
		   count, ranges.low, ranges.high);
}

size_t findings_collect(struct finding ret[FINDINGS_MAX], const struct admission *admission,
			const struct ledger *ledger)
{
	size_t n = check_forwarding(ret, 0, admission);

	if (ledger)
		n = check_port_range(ret, n, ledger);
	return n;
}

/* ---- the kernel ---- */

/* The whole table in one batch without its END: the kernel checks all of it, answers every error,
 * and aborts. */
static int dry_run(struct netlink *netlink, const struct shape *shape,
		   struct transact_result *result)
{
	struct structure nothing = { 0 };
	struct ledger ledger = LEDGER_INIT;
	struct encode_options options = { 0 };
	struct plan plan;
	struct batch batch;
	int r;

	r = plan_make(&ledger, &nothing, 0, &plan);
	if (r < 0)
		return r;
	options.first_sequence = netlink_sequences(netlink, batch_sequences_max(&plan));
	r = encode_plan(&plan, shape, &options, &batch);
	plan_clear(&plan);
	if (r < 0)
		return r;
	batch.length -= batch.end_length;
	r = transact(netlink, &batch, true, DRY_RUN_TIMEOUT_MS, result, NULL);
	batch_clear(&batch);
	return r;
}

static size_t judge_dry_run(struct finding ret[FINDINGS_MAX], size_t n,
			    const struct transact_result *result)
{
	const struct transact_error *first = result->n_errors > 0 ? &result->errors[0] : NULL;

	if (result->batch_error == -EPERM || (first && first->errnum == -EPERM))
		return add(ret, n, true,
			   "run as root, or with AmbientCapabilities=CAP_NET_ADMIN in the unit",
			   "CAP_NET_ADMIN is missing: nf_tables cannot be programmed");
	/* A table that is there already with other maps is no lack of the kernel's. */
	if (first && first->errnum != -EEXIST)
		return add(ret, n, true, "modprobe -a nf_tables nft_nat nft_masq nft_ct nf_nat",
			   "the kernel does not take our table: %s%s%s", strerror(-first->errnum),
			   first->text[0] ? ": " : "", first->text);
	return n;
}

size_t findings_kernel(struct finding ret[FINDINGS_MAX], size_t n, const struct shape *shape)
{
	struct netlink netlink = NETLINK_INIT;
	struct transact_result result;
	int r;

	r = netlink_open(&netlink, 0);
	if (r == 0)
		r = dry_run(&netlink, shape, &result);
	if (r < 0)
		n = add(ret, n, true, "modprobe nf_tables", "nf_tables cannot be reached: %s",
			strerror(-r));
	else
		n = judge_dry_run(ret, n, &result);
	netlink_close(&netlink);
	return n;
}
