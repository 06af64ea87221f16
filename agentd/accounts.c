/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Line by line editing of passwd(5), group(5) and shadow(5). */
#include "agentd/accounts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/clock.h"

#define FIELDS_MAX 9
/* Above are nobody and what container engines map away. */
#define ID_MAX 60000

struct line {
	const char *start;
	size_t length; /* without the newline */
};

struct fields {
	struct line items[FIELDS_MAX];
	size_t n;
};

void account_files_clear(struct account_files *files)
{
	if (files->shadow)
		explicit_bzero(files->shadow, strlen(files->shadow));
	free(files->passwd);
	free(files->group);
	free(files->shadow);
	memset(files, 0, sizeof(*files));
}

/* The next line of *text, which moves behind it. False at the end. */
static bool next_line(const char **text, struct line *ret)
{
	if (!*text || **text == '\0')
		return false;
	ret->start = *text;
	ret->length = strcspn(*text, "\n");
	*text += ret->length + ((*text)[ret->length] == '\n');
	return true;
}

static void split(const struct line *line, struct fields *ret)
{
	const char *at = line->start, *end = line->start + line->length;

	ret->n = 0;
	while (ret->n < FIELDS_MAX) {
		const char *colon = memchr(at, ':', (size_t)(end - at));

		ret->items[ret->n].start = at;
		ret->items[ret->n].length = (size_t)((colon ? colon : end) - at);
		ret->n++;
		if (!colon)
			return;
		at = colon + 1;
	}
}

static bool field_is(const struct fields *fields, size_t i, const char *text)
{
	return i < fields->n && fields->items[i].length == strlen(text) &&
	       memcmp(fields->items[i].start, text, fields->items[i].length) == 0;
}

static int field_id(const struct fields *fields, size_t i, uint32_t *ret)
{
	uint64_t value = 0;

	if (i >= fields->n || fields->items[i].length == 0 || fields->items[i].length > 10)
		return -EINVAL;
	for (size_t n = 0; n < fields->items[i].length; n++) {
		char c = fields->items[i].start[n];

		if (c < '0' || c > '9')
			return -EINVAL;
		value = value * 10 + (uint64_t)(c - '0');
	}
	if (value >= UINT32_MAX)
		return -EINVAL;
	*ret = (uint32_t)value;
	return 0;
}

static bool find_name(const char *text, const char *name, struct fields *ret)
{
	struct line line;

	while (next_line(&text, &line)) {
		split(&line, ret);
		if (field_is(ret, 0, name))
			return true;
	}
	return false;
}

/* Field 2 of passwd and of group is the number. */
static bool id_taken(const char *text, uint32_t id)
{
	struct fields fields;
	struct line line;
	uint32_t other;

	while (next_line(&text, &line)) {
		split(&line, &fields);
		if (field_id(&fields, 2, &other) == 0 && other == id)
			return true;
	}
	return false;
}

static int free_id(const char *text, uint32_t *ret)
{
	for (uint32_t id = ACCOUNT_UID; id < ID_MAX; id++) {
		if (id_taken(text, id))
			continue;
		*ret = id;
		return 0;
	}
	return -ENOSPC;
}

/* Text with one line more; NULL text is an empty file. */
static int append_line(const char *text, const char *line, char **ret)
{
	size_t length = text ? strlen(text) : 0;
	const char *newline = length > 0 && text[length - 1] != '\n' ? "\n" : "";

	if (asprintf(ret, "%s%s%s\n", text ? text : "", newline, line) < 0)
		return -ENOMEM;
	return 0;
}

static void write_fields(FILE *out, const struct fields *fields, size_t replaced, const char *value)
{
	for (size_t i = 0; i < fields->n; i++) {
		if (i > 0)
			putc(':', out);
		if (i == replaced)
			fputs(value, out);
		else
			fwrite(fields->items[i].start, 1, fields->items[i].length, out);
	}
	putc('\n', out);
}

/* Text with field i of the lines named name replaced. The fields behind FIELDS_MAX are none in the
 * formats at hand. */
static int replace_field(const char *text, const char *name, size_t i, const char *value,
			 char **ret)
{
	struct fields fields;
	struct line line;
	char *buffer = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&buffer, &size);

	if (!out)
		return -ENOMEM;
	while (next_line(&text, &line)) {
		split(&line, &fields);
		if (field_is(&fields, 0, name) && i < fields.n) {
			write_fields(out, &fields, i, value);
		} else {
			fwrite(line.start, 1, line.length, out);
			putc('\n', out);
		}
	}
	if (fclose(out) != 0) {
		free(buffer);
		return -ENOMEM;
	}
	*ret = buffer;
	return 0;
}

static bool name_valid(const char *name)
{
	size_t length = strlen(name);

	if (length == 0 || length > ACCOUNT_NAME_MAX)
		return false;
	if (!(name[0] == '_' || (name[0] >= 'a' && name[0] <= 'z')))
		return false;
	return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == length;
}

static bool hash_valid(const char *hash)
{
	for (const char *c = hash; *c != '\0'; c++)
		if (*c == ':' || (unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7f)
			return false;
	return true;
}

static int read_account(const struct fields *fields, struct account *account, struct error *err)
{
	uint32_t uid, gid;

	if (field_id(fields, 2, &uid) < 0 || field_id(fields, 3, &gid) < 0 || fields->n < 6 ||
	    fields->items[5].length == 0 || fields->items[5].start[0] != '/' ||
	    fields->items[5].length >= sizeof(account->home))
		return error_set(err, -EINVAL, "invalid", "image",
				 "the image's /etc/passwd has an entry for the login user without "
				 "number, group or home");
	account->uid = uid;
	account->gid = gid;
	memcpy(account->home, fields->items[5].start, fields->items[5].length);
	account->home[fields->items[5].length] = '\0';
	account->created = false;
	return 0;
}

/* The group of the user's name, made if the image lacks it. */
static int ensure_group(struct account_files *files, const char *user, gid_t *ret)
{
	_cleanup_free_ char *text = NULL;
	struct fields fields;
	char line[2 * ACCOUNT_NAME_MAX];
	uint32_t gid;
	int r;

	if (find_name(files->group, user, &fields) && field_id(&fields, 2, &gid) == 0) {
		*ret = gid;
		return 0;
	}
	r = free_id(files->group, &gid);
	if (r < 0)
		return r;
	snprintf(line, sizeof(line), "%s:x:%u:", user, gid);
	r = append_line(files->group, line, &text);
	if (r < 0)
		return r;
	free(files->group);
	files->group = TAKE_PTR(text);
	*ret = gid;
	return 0;
}

static int create_account(struct account_files *files, const char *user, const char *shell,
			  struct account *account)
{
	_cleanup_free_ char *text = NULL;
	char line[512];
	uint32_t uid;
	int r;

	r = free_id(files->passwd, &uid);
	if (r < 0)
		return r;
	r = ensure_group(files, user, &account->gid);
	if (r < 0)
		return r;
	account->uid = uid;
	account->created = true;
	snprintf(account->home, sizeof(account->home), "/home/%s", user);
	snprintf(line, sizeof(line), "%s:x:%u:%u::%s:%s", user, uid, account->gid, account->home,
		 shell);
	r = append_line(files->passwd, line, &text);
	if (r < 0)
		return r;
	free(files->passwd);
	files->passwd = TAKE_PTR(text);
	return 0;
}

/* "x" in passwd sends readers to shadow. */
static int set_password(struct account_files *files, const char *user, const char *hash)
{
	_cleanup_free_ char *passwd = NULL, *shadow = NULL;
	struct fields fields;
	int r;

	r = replace_field(files->passwd, user, 1, "x", &passwd);
	if (r < 0)
		return r;
	if (find_name(files->shadow, user, &fields) && fields.n >= 2) {
		r = replace_field(files->shadow, user, 1, hash, &shadow);
	} else {
		_cleanup_free_ char *line = NULL;

		/* The day of the last change must not be 0: that asks for a new password. */
		if (asprintf(&line, "%s:%s:%lld:0:99999:7:::", user, hash,
			     (long long)(clock_unix_seconds() / 86400)) < 0)
			return -ENOMEM;
		r = append_line(files->shadow, line, &shadow);
		explicit_bzero(line, strlen(line));
	}
	if (r < 0)
		return r;
	free(files->passwd);
	files->passwd = TAKE_PTR(passwd);
	if (files->shadow)
		explicit_bzero(files->shadow, strlen(files->shadow));
	free(files->shadow);
	files->shadow = TAKE_PTR(shadow);
	return 0;
}

static int copy_files(const struct account_files *files, struct account_files *ret)
{
	const char *const from[] = { files->passwd, files->group, files->shadow };
	char **to[] = { &ret->passwd, &ret->group, &ret->shadow };

	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i < ARRAY_SIZE(from); i++) {
		if (!from[i])
			continue;
		*to[i] = strdup(from[i]);
		if (!*to[i]) {
			account_files_clear(ret);
			return -ENOMEM;
		}
	}
	return 0;
}

static int ensure(struct account_files *files, const char *user, const char *password_hash,
		  const char *shell, struct account *account, struct error *err)
{
	struct fields fields;
	int r;

	if (find_name(files->passwd, user, &fields))
		r = read_account(&fields, account, err);
	else
		r = create_account(files, user, shell, account);
	if (r < 0)
		return r;
	/* "*" matches no password. "!" would make sshd without PAM refuse keys as well. */
	return set_password(files, user, password_hash ? password_hash : "*");
}

int account_ensure(struct account_files *files, const char *user, const char *password_hash,
		   const char *shell, struct account *ret, struct error *err)
{
	struct account_files edited;
	struct account account = { 0 };
	int r;

	if (!name_valid(user))
		return error_set(err, -EINVAL, "invalid", "user", "'%s' is no user name", user);
	if (password_hash && !hash_valid(password_hash))
		return error_set(err, -EINVAL, "invalid", "password_hash",
				 "the password hash has a character that /etc/shadow cannot hold");
	r = copy_files(files, &edited);
	if (r < 0)
		return r;
	r = ensure(&edited, user, password_hash, shell, &account, err);
	if (r < 0) {
		account_files_clear(&edited);
		return r;
	}
	account_files_clear(files);
	*files = edited;
	*ret = account;
	return 0;
}
