/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From options to the request's body: what each option becomes, and which sentence a mistake gets.
 */

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/file.h"
#include "schedctl/request.h"

#define KEY1 "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl a@b"
#define KEY2 "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJm c@d"

static int on_word(void *userdata, const char *word, struct args_table *command, bool *verbatim,
		   struct error *err)
{
	return 0;
}

#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static int build(const char *const *words, json_t **ret, struct error *err)
{
	const struct args_grammar grammar = { .global = request_options, .on_word = on_word };
	_cleanup_(args_clear) struct args args = { 0 };
	char *argv[32] = { (char *)"program" };
	int argc = 1;

	for (; *words; words++)
		argv[argc++] = (char *)*words;
	cr_assert_eq(args_parse(argc, argv, &grammar, &args, err), 0);
	return request_build(&args, ret, err);
}

static void expect_json(json_t *have, const char *text)
{
	_cleanup_json_ json_t *want = json_loads(text, 0, NULL);
	_cleanup_free_ char *written = json_dumps(have, JSON_SORT_KEYS);

	cr_assert_not_null(want);
	cr_expect(json_equal(have, want), "%s\nis not\n%s", written, text);
}

Test(request, smallest)
{
	_cleanup_json_ json_t *body = NULL;
	struct error err = ERROR_INIT;

	cr_assert_eq(
		build(WORDS("--name", "demo", "--image", "dev", "--cpu", "0.5", "--memory", "512M"),
		      &body, &err),
		0, "%s", err.message);
	expect_json(body, "{\"name\":\"demo\",\"image\":\"dev\",\"cpu_milli\":500,"
			  "\"memory_bytes\":536870912,\"gpu_model\":[],"
			  "\"services\":[{\"name\":\"ssh\",\"port\":22,\"protocol\":\"tcp\"}],"
			  "\"ssh_authorized_keys\":[],\"env\":{},\"labels\":{},\"volumes\":{}}");
}

Test(request, everything)
{
	_cleanup_json_ json_t *body = NULL;
	struct error err = ERROR_INIT;

	cr_assert_eq(
		build(WORDS("--name=demo", "--image=dev", "--cpu=4", "--memory=16G", "--gpu=2",
			    "--gpu-model=A100", "--gpu-model=H100", "--ssh-key=" KEY1,
			    "--service=jupyter:8888", "--service=mosh:60001/udp", "--env=K=a,b=c",
			    "--env=EMPTY=", "--label=team=x", "--volume=code=local", "--restart=no",
			    "--policy=binpack", "--pool=big", "--no-queue"),
		      &body, &err),
		0, "%s", err.message);
	expect_json(body,
		    "{\"name\":\"demo\",\"image\":\"dev\",\"cpu_milli\":4000,"
		    "\"memory_bytes\":17179869184,\"gpu\":2,\"gpu_model\":[\"A100\",\"H100\"],"
		    "\"services\":[{\"name\":\"ssh\",\"port\":22,\"protocol\":\"tcp\"},"
		    "{\"name\":\"jupyter\",\"port\":8888,\"protocol\":\"tcp\"},"
		    "{\"name\":\"mosh\",\"port\":60001,\"protocol\":\"udp\"}],"
		    "\"ssh_authorized_keys\":[\"" KEY1 "\"],"
		    "\"env\":{\"K\":\"a,b=c\",\"EMPTY\":\"\"},\"labels\":{\"team\":\"x\"},"
		    "\"volumes\":{\"code\":\"local\"},\"restart\":\"no\",\"policy\":\"binpack\","
		    "\"pool\":\"big\",\"queue\":false}");
}

Test(request, ssh_service_may_be_moved_or_left_out)
{
	_cleanup_json_ json_t *moved = NULL, *none = NULL;

	cr_assert_eq(build(WORDS("--name=d", "--image=i", "--cpu=1", "--memory=1G",
				 "--service=ssh:2222"),
			   &moved, NULL),
		     0);
	expect_json(json_object_get(moved, "services"),
		    "[{\"name\":\"ssh\",\"port\":2222,\"protocol\":\"tcp\"}]");
	cr_assert_eq(build(WORDS("--name=d", "--image=i", "--cpu=1", "--memory=1G", "--no-ssh",
				 "--service=web:80"),
			   &none, NULL),
		     0);
	expect_json(json_object_get(none, "services"),
		    "[{\"name\":\"web\",\"port\":80,\"protocol\":\"tcp\"}]");
}

Test(request, mistakes_name_the_option)
{
#define REQUIRED "--name=d", "--image=i", "--cpu=1", "--memory=1G"
	const struct {
		const char *const *words;
		const char *part;
	} samples[] = {
		{ WORDS("--name=d", "--image=i", "--cpu=1"), "needs --memory" },
		{ WORDS("--image=i", "--cpu=1", "--memory=1G"), "needs --name" },
		{ WORDS("--name=d", "--image=i", "--cpu=two", "--memory=1G"), "--cpu \"two\"" },
		{ WORDS("--name=d", "--image=i", "--cpu=1", "--memory=1Q"), "--memory \"1Q\"" },
		{ WORDS("--name=Bad_Name", "--image=i", "--cpu=1", "--memory=1G"), "name" },
		{ WORDS("--name=d", "--image=i", "--cpu=1", "--memory=1K"), "memory" },
		{ WORDS(REQUIRED, "--gpu=many"), "--gpu \"many\"" },
		{ WORDS(REQUIRED, "--gpu=-1"), "--gpu \"-1\"" },
		{ WORDS(REQUIRED, "--service=web"), "--service \"web\"" },
		{ WORDS(REQUIRED, "--service=web:0"), "--service \"web:0\"" },
		{ WORDS(REQUIRED, "--service=web:80/icmp"), "--service \"web:80/icmp\"" },
		{ WORDS(REQUIRED, "--env=NOVALUE"), "--env \"NOVALUE\"" },
		{ WORDS(REQUIRED, "--env==x"), "--env \"=x\"" },
		{ WORDS(REQUIRED, "--env=A=1", "--env=A=2"), "--env A is given twice" },
		{ WORDS(REQUIRED, "--ssh-key=/nonexistent/key.pub"), "/nonexistent/key.pub" },
		{ WORDS(REQUIRED, "--ssh-key=/dev/null"), "/dev/null" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		struct error err = ERROR_INIT;
		json_t *body = NULL;

		cr_expect_eq(build(samples[i].words, &body, &err), -EINVAL, "sample %zu", i);
		cr_expect_null(body);
		cr_expect_not_null(strstr(err.message, samples[i].part), "\"%s\" does not name %s",
				   err.message, samples[i].part);
	}
}

Test(request, service_forms)
{
	static const char *const bad[] = { "",         ":80",          "a:",     "a:65536",
					   "a:080000", "a:80/",        "a:80/x", "a/tcp:80",
					   "80",       "a:80/tcp/udp", "a:-1",   "a:8O" };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct error err = ERROR_INIT;
		json_t *service = NULL;

		cr_expect_eq(request_parse_service(bad[i], &service, &err), -EINVAL, "\"%s\"",
			     bad[i]);
		cr_expect_null(service);
	}
}

static char path[] = "/tmp/schedctl-test-XXXXXX";

static int add_file(json_t *keys, const char *content, struct error *err)
{
	_cleanup_close_ int fd = mkstemp(path);
	int r;

	cr_assert_geq(fd, 0);
	cr_assert_eq(write_all(fd, content, strlen(content)), 0);
	r = request_add_ssh_key(keys, path, err);
	(void)unlink(path);
	return r;
}

Test(request, key_file_with_several_keys)
{
	_cleanup_json_ json_t *keys = json_array();
	struct error err = ERROR_INIT;

	cr_assert_eq(add_file(keys, "# mine\n\n  " KEY1 "\r\n" KEY2, &err), 0, "%s", err.message);
	cr_assert_eq(json_array_size(keys), 2);
	cr_expect_str_eq(json_string_value(json_array_get(keys, 0)), KEY1);
	cr_expect_str_eq(json_string_value(json_array_get(keys, 1)), KEY2);
}

Test(request, private_key_is_refused)
{
	_cleanup_json_ json_t *keys = json_array();
	struct error err = ERROR_INIT;

	cr_expect_eq(add_file(keys, "-----BEGIN OPENSSH PRIVATE KEY-----\nx\n", &err), -EINVAL);
	cr_expect_not_null(strstr(err.message, "is a private key"));
	cr_expect_eq(json_array_size(keys), 0);
}

Test(request, key_file_without_a_key)
{
	_cleanup_json_ json_t *keys = json_array();
	struct error err = ERROR_INIT;

	cr_expect_eq(add_file(keys, "# nothing\n", &err), -EINVAL);
	cr_expect_not_null(strstr(err.message, "has no key"));
}
