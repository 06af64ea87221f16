/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Accounting around a transaction whose outcome was unknown at first: the kernel has done it, and
 * no later plan says so.
 */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gatewayd/accounting.h"
#include "tests/kernel/kernel.h"

#define PORT "203.0.113.10:30001"
#define HOST "10.0.0.5:7001"
#define OTHER_HOST "10.0.0.6:7001"

static struct ledger ledger = LEDGER_INIT;
static struct applier applier;
static struct event_base *base;
static struct accounting *accounting;
static int listener, client;

static struct sockaddr_storage address_of(const char *text, socklen_t *ret_length)
{
	struct endpoint endpoint = endpoint_of(text);
	struct sockaddr_storage address;

	*ret_length = endpoint_to_sockaddr(&endpoint, &address);
	return address;
}

static void connect_through(void)
{
	struct sockaddr_storage address;
	socklen_t length;

	address = address_of(HOST, &length);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(listener, (struct sockaddr *)&address, length), 0);
	cr_assert_eq(listen(listener, 8), 0);
	address = address_of(PORT, &length);
	client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(connect(client, (struct sockaddr *)&address, length), 0);
}

static void on_listed(int error, void *userdata)
{
	bool *listed = userdata;

	cr_assert_eq(error, 0);
	*listed = true;
}

static const struct account *account(void)
{
	const struct mapping_key key = key_of(PORT);

	return flow_table_account(accounting_table(accounting), &key, NULL);
}

static void open_all(void)
{
	struct error err = ERROR_INIT;
	bool listed = false;

	enter_namespace();
	do_ip("address add 203.0.113.10/32 dev lo");
	do_ip("address add 10.0.0.5/32 dev lo");
	open_applier(&applier, &ledger, false);
	desire(&ledger, PORT, HOST, "env-a ssh");
	apply_all(&applier);
	connect_through();
	base = event_base_new();
	cr_assert_eq(accounting_new(&accounting, base, NULL, 0, &err), 0, "%s", err.message);
	accounting_run(accounting, &ledger);
	cr_assert_eq(accounting_refresh(accounting, on_listed, &listed), 0);
	while (!listed)
		(void)event_base_loop(base, EVLOOP_ONCE);
	cr_assert_not_null(account(), "nothing is counted");
}

static void close_all(void)
{
	accounting_free(accounting);
	event_base_free(base);
	applier_close(&applier);
	ledger_clear(&ledger);
	close(client);
	close(listener);
}

TestSuite(accounting, .init = open_all, .fini = close_all, .timeout = 60);

/* What on_plan says, twice without an end; then the kernel is found to have it. */
static void change_unnoticed(void)
{
	struct plan plan;

	for (int i = 0; i < 2; i++) {
		cr_assert_eq(plan_make(&ledger, &applier.shape, &applier.structure, 0, &plan), 0);
		cr_assert_gt(plan.n_operations, 0);
		accounting_note(accounting, &plan);
		plan_clear(&plan);
		accounting_forget(accounting);
	}
	apply_all(&applier);
	accounting_run(accounting, &ledger);
}

Test(accounting, closes_the_account_of_a_mapping_that_went_unnoticed)
{
	undesire(&ledger, PORT);
	change_unnoticed();
	cr_expect_null(account(), "the next mapping of this port would go on with it");
}

Test(accounting, keeps_to_a_mapping_that_was_led_elsewhere_unnoticed)
{
	desire(&ledger, PORT, OTHER_HOST, "env-a ssh");
	change_unnoticed();
	cr_assert_not_null(account());
	cr_expect(account()->flags & ACCOUNT_REPOINTED);
}

Test(accounting, takes_no_mapping_for_led_elsewhere_that_was_not)
{
	struct plan plan;

	desire(&ledger, PORT, OTHER_HOST, "env-a ssh");
	cr_assert_eq(plan_make(&ledger, &applier.shape, &applier.structure, 0, &plan), 0);
	accounting_note(accounting, &plan);
	plan_clear(&plan);
	accounting_forget(accounting);
	desire(&ledger, PORT, HOST, "env-a ssh");
	apply_all(&applier);
	accounting_run(accounting, &ledger);
	cr_assert_not_null(account());
	cr_expect_not(account()->flags & ACCOUNT_REPOINTED);
}
