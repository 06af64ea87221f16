/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Transactions with the real kernel: elements put, led elsewhere and deleted, large batches,
 * refusals, others' changes in between, and batches that never come to their end.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <libnftnl/common.h>
#include <linux/capability.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "gatewayd/encode.h"
#include "gatewayd/transact.h"
#include "tests/kernel/kernel.h"

#define TIMEOUT_MS 5000
#define SHORT_MS 200
#define ROUNDS_MAX 1000

static struct ledger ledger = LEDGER_INIT;
static struct applier applier;

static void open_all(void)
{
	enter_namespace();
	open_applier(&applier, &ledger, true);
}

static void close_all(void)
{
	applier_close(&applier);
	ledger_clear(&ledger);
}

TestSuite(transactions, .init = open_all, .fini = close_all, .timeout = 300);

/* Whether the kernel has the element, asked by another program. */
static bool kernel_has(const char *element)
{
	_cleanup_free_ char *text = nft("list table inet portico");

	return strstr(text, element) != NULL;
}

static size_t kernel_count(void)
{
	_cleanup_free_ char *text = nft("list table inet portico");
	size_t n = 0;

	for (const char *at = text; (at = strstr(at, " . tcp . ")); at++)
		n++;
	return n;
}

Test(transactions, put_lead_elsewhere_relabel_and_delete)
{
	desire(&ledger, "203.0.113.10:30001", "10.0.0.5:22", NULL);
	desire(&ledger, "203.0.113.10:30002", "10.0.0.5:80", NULL);
	cr_assert_eq(apply_all(&applier).n_changes, 2);
	cr_assert(kernel_has("203.0.113.10 . tcp . 30001 : 10.0.0.5 . 22"));

	desire(&ledger, "203.0.113.10:30001", "10.0.0.6:2222", NULL);
	cr_assert_eq(apply_all(&applier).n_changes, 1);
	cr_assert(kernel_has("203.0.113.10 . tcp . 30001 : 10.0.0.6 . 2222"));
	cr_assert_not(kernel_has("10.0.0.5 . 22"));

	desire(&ledger, "203.0.113.10:30001", "10.0.0.6:2222", "env-a ssh");
	cr_assert_eq(apply_all(&applier).n_changes, 1);
	cr_assert(kernel_has("30001 comment \"env-a ssh\" : 10.0.0.6 . 2222"));

	undesire(&ledger, "203.0.113.10:30001");
	cr_assert_eq(apply_all(&applier).n_changes, 1);
	cr_assert_not(kernel_has("30001"));
	cr_assert(kernel_has("30002"));
	cr_assert_eq(ledger.n_entries, 1);
	cr_assert_eq(apply_all(&applier).n_changes, 0);
}

/* n mappings of three addresses, each with a comment: about 150 bytes of batch each. */
static void desire_many(unsigned n, const char *target)
{
	for (unsigned i = 0; i < n; i++) {
		char key[ENDPOINT_STRING_MAX], label[SHAPE_COMMENT_MAX];

		(void)snprintf(key, sizeof(key), "203.0.113.%u:%u", 1 + i / 60000, 1 + i % 60000);
		(void)snprintf(label, sizeof(label), "env-%08u ssh", i);
		desire(&ledger, key, target, label);
	}
}

Test(transactions, more_elements_than_one_attribute_holds)
{
	desire_many(3000, "10.0.0.5:22");
	cr_assert_eq(apply_all(&applier).n_changes, 3000);
	cr_assert_eq(kernel_count(), 3000);
	/* Filled before it was hooked: a second transaction. */
	cr_assert_eq(applier.stats.transactions[APPLIER_COMMITTED], 2);
}

Test(transactions, a_hooked_table_changes_in_one_transaction_however_large)
{
	size_t committed;

	apply_all(&applier);
	desire_many(50000, "10.0.0.5:22");
	committed = applier.stats.transactions[APPLIER_COMMITTED];
	cr_assert_eq(apply_all(&applier).n_changes, 50000);
	cr_assert_eq(kernel_count(), 50000);
	desire_many(50000, "10.0.0.6:22");
	cr_assert_eq(apply_all(&applier).n_changes, 50000);
	cr_assert_eq(applier.stats.transactions[APPLIER_COMMITTED], committed + 2);
	cr_assert(kernel_has("10.0.0.6 . 22"));
	cr_assert_not(kernel_has("10.0.0.5 . 22"));
	/* What is in the kernel is what we believe. */
	applier_doubt(&applier, RESYNC_AUDIT);
	cr_assert_eq(apply_all(&applier).n_changes, 0);
}

/* ---- many at once ---- */

/* What whoever listens is told around a transaction of many elements. */
struct bulk {
	unsigned begun, ended;
	const char *first;     /* what somebody else does before anything is sent; once */
	const char *meanwhile; /* and before it ends */
};

static void on_bulk(bool begins, void *userdata)
{
	struct bulk *bulk = userdata;
	const char **command = begins ? &bulk->first : &bulk->meanwhile;

	bulk->begun += begins;
	bulk->ended += !begins;
	if (*command)
		do_nft(*command);
	*command = NULL;
}

Test(transactions, nobody_need_listen_while_there_are_many_changes_of_ours)
{
	struct bulk bulk = { 0 };

	apply_all(&applier);
	applier.hooks.on_bulk = on_bulk;
	applier.hooks.userdata = &bulk;
	desire_many(999, "10.0.0.5:22");
	cr_assert_eq(apply_all(&applier).n_changes, 999);
	cr_assert_eq(bulk.begun, 0);
	desire_many(3000, "10.0.0.6:22");
	cr_assert_eq(apply_all(&applier).n_changes, 3000);
	cr_assert_eq(bulk.begun, 1);
	cr_assert_eq(bulk.ended, 1);
	cr_assert_eq(applier.stats.resyncs[RESYNC_FOREIGN], 0);
}

Test(transactions, what_somebody_does_as_nobody_listens_any_more_is_found_and_repaired)
{
	struct bulk bulk = {
		.first = "delete element inet portico mapping4 { 203.0.113.1 . tcp . 77 }"
	};

	desire_many(100, "10.0.0.5:22");
	apply_all(&applier);
	cr_assert(kernel_has("203.0.113.1 . tcp . 77 comment"));
	applier.hooks.on_bulk = on_bulk;
	applier.hooks.userdata = &bulk;
	desire_many(3000, "10.0.0.5:22");
	cr_assert_eq(apply_all(&applier).n_changes, 2901);
	cr_assert_eq(applier.stats.resyncs[RESYNC_FOREIGN], 1);
	cr_assert(kernel_has("203.0.113.1 . tcp . 77 comment"));
}

Test(transactions, what_somebody_does_while_nobody_listens_is_found_and_repaired)
{
	struct bulk bulk = {
		.meanwhile = "delete element inet portico mapping4 { 203.0.113.1 . tcp . 77 }"
	};

	apply_all(&applier);
	applier.hooks.on_bulk = on_bulk;
	applier.hooks.userdata = &bulk;
	desire_many(3000, "10.0.0.5:22");
	cr_assert_eq(apply_all(&applier).n_changes, 3001);
	cr_assert_null(bulk.meanwhile);
	cr_assert_eq(applier.stats.resyncs[RESYNC_FOREIGN], 1);
	cr_assert_eq(kernel_count(), 3000);
	cr_assert(kernel_has("203.0.113.1 . tcp . 77 comment"));
}

/* A target of another family than its port: no bytes that the map takes. */
static void desire_impossible(const char *key)
{
	desire(&ledger, key, "[2001:db8::5]:22", "bad");
}

Test(transactions, bad_elements_are_named_and_nothing_of_their_batch_is_done)
{
	_cleanup_free_ char *before = NULL, *after = NULL;
	struct apply_result result;
	struct error err = ERROR_INIT;
	char name[MAPPING_STRING_MAX];

	desire(&ledger, "203.0.113.10:30001", "10.0.0.5:22", NULL);
	apply_all(&applier);
	before = list_ruleset();
	desire_many(200, "10.0.0.5:22");
	desire_impossible("203.0.113.1:77");
	cr_assert_eq(applier_run(&applier, &result, &err), APPLY_REFUSED, "%s", err.message);
	cr_assert_eq(result.n_refusals, 1);
	cr_assert_str_eq(mapping_key_format(&result.refusals[0].key, name), "203.0.113.1:77/tcp");
	cr_assert(strstr(result.refusals[0].reason, "the kernel refuses it: "));
	after = list_ruleset();
	cr_assert_str_eq(after, before);

	undesire(&ledger, "203.0.113.1:77");
	apply_all(&applier);
	cr_assert_eq(kernel_count(), 200); /* 30001 and 199 of the 200 */
}

Test(transactions, an_element_that_is_there_already_is_read_and_replaced)
{
	desire(&ledger, "203.0.113.10:30002", "10.0.0.5:80", NULL);
	apply_all(&applier);
	do_nft("add element inet portico mapping4 { 203.0.113.10 . tcp . 30001 : 10.0.0.9 . 9 }");
	desire(&ledger, "203.0.113.10:30001", "10.0.0.5:22", NULL);
	apply_all(&applier);
	cr_assert_eq(applier.stats.resyncs[RESYNC_CONFLICT], 1);
	cr_assert(kernel_has("30001 : 10.0.0.5 . 22"));
}

Test(transactions, an_element_that_is_gone_already_is_no_error)
{
	desire(&ledger, "203.0.113.10:30001", "10.0.0.5:22", NULL);
	apply_all(&applier);
	do_nft("flush map inet portico mapping4");
	undesire(&ledger, "203.0.113.10:30001");
	apply_all(&applier);
	cr_assert_eq(applier.stats.resyncs[RESYNC_CONFLICT], 1);
	cr_assert_eq(kernel_count(), 0);
}

/* Between the dump and the commit that rests on it, another changes the ruleset. */
Test(transactions, a_change_between_dump_and_commit_is_noticed)
{
	struct error err = ERROR_INIT;

	desire(&ledger, "203.0.113.10:30001", "10.0.0.5:22", NULL);
	apply_all(&applier);
	applier_doubt(&applier, RESYNC_AUDIT);
	cr_assert_eq(applier_read(&applier, NULL, NULL, &err), 0);
	do_nft("delete element inet portico mapping4 { 203.0.113.10 . tcp . 30001 : 10.0.0.5 . 22 }");
	desire(&ledger, "203.0.113.10:30002", "10.0.0.5:80", NULL);
	apply_all(&applier);
	cr_assert_eq(applier.stats.resyncs[RESYNC_GENERATION], 1);
	cr_assert(kernel_has("30001 : 10.0.0.5 . 22"));
	cr_assert(kernel_has("30002 : 10.0.0.5 . 80"));
}

static void be_nft(int input)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)dup2(input, STDIN_FILENO);
	(void)!freopen("/dev/null", "w", stdout);
	(void)execlp("nft", "nft", "-i", (char *)NULL);
	_exit(127);
}

/* Changes a table of its own, and so moves the generation, until it is killed. */
static pid_t start_another_writer(void)
{
	int pipes[2];
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (pipe(pipes) < 0)
		_exit(1);
	if (fork() == 0)
		be_nft(pipes[0]);
	close(pipes[0]);
	while (dprintf(pipes[1], "add table inet other\ndelete table inet other\n") > 0)
		;
	_exit(0);
}

/* The table cannot be read while another one writes without a pause: then later, as the daemon
 * does. */
static struct apply_result apply_in_the_end(void)
{
	enum apply_outcome outcome = APPLY_FAILED;
	struct apply_result result;
	struct error err = ERROR_INIT;

	for (unsigned i = 0; i < ROUNDS_MAX && outcome == APPLY_FAILED; i++)
		outcome = applier_run(&applier, &result, &err);
	cr_assert_eq(outcome, APPLY_DONE, "%d: %s", outcome, err.message);
	return result;
}

Test(transactions, another_writer_all_along_keeps_nothing_out)
{
	pid_t pid;

	apply_all(&applier);
	pid = start_another_writer();
	/* Each rests on a reading of the table; how many of them depends on the other. */
	for (unsigned i = 1; i <= ROUNDS_MAX && applier.stats.resyncs[RESYNC_GENERATION] < 3; i++) {
		desire_many(i, "10.0.0.5:22");
		applier_doubt(&applier, RESYNC_AUDIT);
		cr_assert_eq(apply_in_the_end().n_changes, 1);
	}
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	cr_assert_eq(kernel_count(), ledger.n_desired);
	cr_assert_geq(applier.stats.resyncs[RESYNC_GENERATION], 3, "it was never in the way");
}

/* ---- one batch by hand ---- */

static struct batch make_batch(void)
{
	struct encode_options options = { .echo = !applier.end_acked };
	struct plan plan;
	struct batch batch;

	cr_assert_eq(plan_make(&ledger, &applier.shape, &applier.structure, 0, &plan), 0);
	options.first_sequence = netlink_sequences(&applier.netlink, batch_sequences_max(&plan));
	cr_assert_eq(encode_plan(&plan, &applier.shape, &options, &batch), 0);
	plan_clear(&plan);
	return batch;
}

static struct transact_result send_batch(struct batch *batch, uint64_t timeout_ms)
{
	struct transact_result result;
	struct error err = ERROR_INIT;

	cr_assert_eq(transact(&applier.netlink, batch, true, timeout_ms, &result, &err), 0, "%s",
		     err.message);
	batch_clear(batch);
	return result;
}

Test(transactions, a_batch_without_its_end_is_unknown_and_nothing_of_it_is_done)
{
	struct batch batch;

	apply_all(&applier);
	desire(&ledger, "203.0.113.10:30001", "10.0.0.5:22", NULL);
	batch = make_batch();
	batch.length -= batch.end_length;
	cr_assert_eq(send_batch(&batch, SHORT_MS).outcome, TRANSACT_UNKNOWN);
	cr_assert_eq(kernel_count(), 0);
}

Test(transactions, a_truncated_batch_is_unknown_and_nothing_of_it_is_done)
{
	struct transact_result result;
	struct batch batch;

	apply_all(&applier);
	desire(&ledger, "203.0.113.10:30001", "10.0.0.5:22", NULL);
	batch = make_batch();
	batch.length -= batch.end_length + 8; /* into the last command */
	result = send_batch(&batch, SHORT_MS);
	cr_assert_eq(result.outcome, TRANSACT_UNKNOWN);
	cr_assert_eq(result.batch_error, -ETIMEDOUT);
	cr_assert_eq(kernel_count(), 0);
}

/* As an older kernel does: END is not acknowledged. */
Test(transactions, the_new_generation_is_a_receipt_as_well)
{
	struct batch batch;

	apply_all(&applier);
	desire(&ledger, "203.0.113.10:30001", "10.0.0.5:22", NULL);
	applier.end_acked = false;
	for (int i = 0; i < 2; i++) {
		struct nlmsghdr *end;

		batch = make_batch();
		end = (struct nlmsghdr *)(void *)(batch.data + batch.length - batch.end_length);
		end->nlmsg_flags &= (uint16_t)~NLM_F_ACK;
		if (i == 0) /* without its end there is neither */
			batch.length -= batch.end_length;
		cr_assert_eq(send_batch(&batch, SHORT_MS).outcome,
			     i == 0 ? TRANSACT_UNKNOWN : TRANSACT_COMMITTED);
		cr_assert_eq(kernel_count(), (size_t)i);
	}
}

Test(transactions, the_same_batch_twice_is_rejected_the_second_time)
{
	struct transact_result result;
	struct batch batch;

	apply_all(&applier);
	desire(&ledger, "203.0.113.10:30001", "10.0.0.5:22", NULL);
	batch = make_batch();
	result = send_batch(&batch, TIMEOUT_MS);
	cr_assert_eq(result.outcome, TRANSACT_COMMITTED);
	cr_assert_eq(kernel_count(), 1);
	batch = make_batch();
	result = send_batch(&batch, TIMEOUT_MS);
	cr_assert_eq(result.outcome, TRANSACT_REJECTED);
	cr_assert_eq(result.n_errors, 1);
	cr_assert_eq(result.errors[0].errnum, -EEXIST);
	cr_assert_eq(kernel_count(), 1);
}

/* Fills the socket's smallest receive buffer with an answer that nobody reads, so that the kernel
 * has to drop those that follow.
 */
static void clog_socket(void)
{
	uint8_t request[256] = { 0 };
	int tiny = 0;
	struct nlmsghdr *header =
		nftnl_nlmsg_build_hdr((char *)request, NFT_MSG_GETTABLE, NFPROTO_UNSPEC, NLM_F_DUMP,
				      netlink_sequences(&applier.netlink, 1));

	cr_assert_eq(
		setsockopt(applier.netlink.fd, SOL_SOCKET, SO_RCVBUFFORCE, &tiny, sizeof(tiny)), 0);
	applier.netlink.receive_bytes = SIZE_MAX; /* so that it is not asked for more */
	cr_assert_eq(send(applier.netlink.fd, request, header->nlmsg_len, 0), header->nlmsg_len);
}

Test(transactions, a_lost_receipt_is_made_up_for_by_reading_back)
{
	apply_all(&applier);
	desire(&ledger, "203.0.113.10:30001", "10.0.0.5:22", NULL);
	clog_socket();
	apply_all(&applier);
	cr_assert_eq(applier.stats.transactions[APPLIER_UNKNOWN], 1);
	cr_assert_eq(applier.stats.resyncs[RESYNC_UNKNOWN], 1);
	/* The first was done; what was read back said so, and it was not sent again. */
	cr_assert_eq(applier.stats.transactions[APPLIER_COMMITTED], 1);
	cr_assert_eq(kernel_count(), 1);
}

/* ---- privilege ---- */

static void drop_net_admin(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	cr_assert_eq(syscall(SYS_capget, &header, data), 0);
	data[0].effective &= ~(1u << CAP_NET_ADMIN);
	cr_assert_eq(syscall(SYS_capset, &header, data), 0);
}

Test(transactions, without_privilege_nothing_opens)
{
	const struct shape shape = { .map_size = TEST_MAP_SIZE };
	struct applier bare;
	struct error err = ERROR_INIT;

	drop_net_admin();
	cr_assert_eq(applier_open(&bare, &shape, &ledger, NULL, &err), -EPERM);
	cr_assert_str_eq(err.code, "privilege");
	cr_assert(strstr(err.message, "CAP_NET_ADMIN is missing"), "%s", err.message);
}

Test(transactions, privilege_lost_on_the_way_is_said)
{
	struct apply_result result;
	struct error err = ERROR_INIT;

	apply_all(&applier);
	desire(&ledger, "203.0.113.10:30001", "10.0.0.5:22", NULL);
	drop_net_admin();
	cr_assert_eq(applier_run(&applier, &result, &err), APPLY_FAILED);
	cr_assert(strstr(err.message, "CAP_NET_ADMIN is missing"), "%s", err.message);
	cr_assert_eq(ledger.n_dirty, 1); /* to be tried again */
}
