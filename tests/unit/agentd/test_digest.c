/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What replaces a container, and what does not. */
#include <criterion/criterion.h>
#include <string.h>

#include "agentd/desired.h"
#include "agentd/digest.h"

static json_t *item(void)
{
	return json_pack(
		"{s:s, s:i, s:s, s:s, s:s, s:{s:s, s:s, s:i, s:I, s:[{s:s, s:i}], s:[s], s:{s:s, s:s}, s:{s:s}}}",
		"environment", "env-1", "revision", 7, "state", "running", "user", "developer",
		"password_hash", "$y$hash", "spec", "name", "demo", "image", "dev:1", "cpu_milli",
		1000, "memory_bytes", (json_int_t)1 << 30, "services", "name", "ssh", "port", 22,
		"ssh_authorized_keys",
		"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGvlI1p9v9J3xbJHbqwWU4 a", "env", "A", "1",
		"B", "2", "volumes", "code", "local");
}

static void digest_of(json_t *json, char ret[DIGEST_STRING_MAX])
{
	struct assignment assignment;
	struct error err = ERROR_INIT;

	cr_assert_eq(assignment_decode(json, "", &assignment, &err), 0, "%s: %s", err.field,
		     err.message);
	cr_assert_eq(assignment_digest(&assignment, ret), 0);
	assignment_clear(&assignment);
}

static bool changes_digest(void (*change)(json_t *item, json_t *spec))
{
	json_t *a = item(), *b = item();
	char digest_a[DIGEST_STRING_MAX], digest_b[DIGEST_STRING_MAX];

	change(b, json_object_get(b, "spec"));
	digest_of(a, digest_a);
	digest_of(b, digest_b);
	cr_expect_eq(strlen(digest_a), 64);
	json_decref(a);
	json_decref(b);
	return strcmp(digest_a, digest_b) != 0;
}

static void nothing(json_t *json, json_t *spec)
{
}

static void revision(json_t *json, json_t *spec)
{
	json_object_set_new(json, "revision", json_integer(8));
}

static void state(json_t *json, json_t *spec)
{
	json_object_set_new(json, "state", json_string("stopped"));
}

static void labels(json_t *json, json_t *spec)
{
	json_object_set_new(spec, "labels", json_pack("{s:s}", "team", "a"));
}

static void external_port(json_t *json, json_t *spec)
{
	json_object_set_new(json_array_get(json_object_get(spec, "services"), 0), "external_port",
			    json_integer(30005));
}

static void order_of_variables(json_t *json, json_t *spec)
{
	json_object_set_new(spec, "env", json_pack("{s:s, s:s}", "B", "2", "A", "1"));
}

Test(digest, same)
{
	cr_expect_not(changes_digest(nothing));
	cr_expect_not(changes_digest(revision));
	cr_expect_not(changes_digest(state));
	cr_expect_not(changes_digest(labels));
	cr_expect_not(changes_digest(external_port));
	cr_expect_not(changes_digest(order_of_variables));
}

static void image(json_t *json, json_t *spec)
{
	json_object_set_new(spec, "image", json_string("dev:2"));
}

static void cpu(json_t *json, json_t *spec)
{
	json_object_set_new(spec, "cpu_milli", json_integer(2000));
}

static void variable(json_t *json, json_t *spec)
{
	json_object_set_new(json_object_get(spec, "env"), "A", json_string("3"));
}

static void password(json_t *json, json_t *spec)
{
	json_object_set_new(json, "password_hash", json_string("$y$other"));
}

static void service(json_t *json, json_t *spec)
{
	json_array_append_new(json_object_get(spec, "services"),
			      json_pack("{s:s, s:i}", "name", "jupyter", "port", 8888));
}

Test(digest, different)
{
	cr_expect(changes_digest(image));
	cr_expect(changes_digest(cpu));
	cr_expect(changes_digest(variable));
	cr_expect(changes_digest(password));
	cr_expect(changes_digest(service));
}

static int accept_all(struct driver *driver, const struct assignment *assignment, struct error *err)
{
	return 0;
}

static const struct driver_ops accepting_ops = { .validate = accept_all };
static struct driver accepting = { &accepting_ops };

/* An item that cannot be read must not pass for one that is absent: its container would go. */
Test(desired, unreadable_item_is_a_refusal)
{
	json_t *json = item();
	struct desired *desired = NULL;

	json_object_set_new(json_object_get(json, "spec"), "image", json_integer(7));
	cr_assert_eq(desired_new(&desired, json, &accepting, NULL), 0);
	cr_expect_str_eq(desired->assignment.environment, "env-1");
	cr_expect_eq(desired->assignment.revision, 7);
	cr_assert(desired->refusal);
	desired_unref(desired);
	json_decref(json);
}

Test(desired, item_without_a_name_is_an_error)
{
	json_t *json = item();
	struct desired *desired = NULL;
	struct error err = ERROR_INIT;

	json_object_del(json, "environment");
	cr_expect_lt(desired_new(&desired, json, &accepting, &err), 0);
	json_decref(json);
}

Test(desired, readable_item)
{
	json_t *json = item();
	struct desired *desired = NULL;

	cr_assert_eq(desired_new(&desired, json, &accepting, NULL), 0);
	cr_expect_null(desired->refusal);
	cr_expect_eq(strlen(desired->digest), 64);
	cr_expect_eq(desired_ref(desired), desired);
	desired_unref(desired);
	desired_unref(desired);
	json_decref(json);
}
