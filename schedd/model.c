/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of states, and the rows' copy and free. */
#include <errno.h>
#include <string.h>

#include "schedd/model.h"

static const char *const host_mode_names[HOST_MODE_MAX] = {
	[HOST_ACTIVE] = "active",
	[HOST_CORDONED] = "cordoned",
	[HOST_DRAINING] = "draining",
	[HOST_MAINTENANCE] = "maintenance",
};

static const char *const stage_names[STAGE_MAX] = {
	[STAGE_NONE] = "",
	[STAGE_PLACING] = "placing",
	[STAGE_PULLING] = "pulling",
	[STAGE_CREATING] = "creating",
	[STAGE_STARTING] = "starting",
	[STAGE_PUBLISHING] = "publishing",
	[STAGE_CRASH_LOOP] = "crash-loop",
};

static const char *const action_names[ACTION_MAX] = {
	[ACTION_NONE] = "",
	[ACTION_RESTART] = "restart",
	[ACTION_MOVE] = "move",
};

static const char *const assignment_names[ASSIGNMENT_MAX] = {
	[ASSIGNMENT_NONE] = "none",
	[ASSIGNMENT_RUNNING] = "running",
	[ASSIGNMENT_STOPPED] = "stopped",
};

static const char *const port_state_names[PORT_STATE_MAX] = {
	[PORT_RESERVED] = "reserved",
	[PORT_PUBLISHED] = "published",
	[PORT_WITHDRAWING] = "withdrawing",
	[PORT_QUARANTINED] = "quarantined",
};

static const char *const record_kind_names[RECORD_KIND_MAX] = {
	[RECORD_HOST] = "host",
	[RECORD_GATEWAY] = "gateway",
	[RECORD_ENVIRONMENT] = "environment",
	[RECORD_PORT] = "port",
	[RECORD_CUSTOMER] = "customer",
	[RECORD_TOKEN] = "token",
	[RECORD_KEY] = "key",
};

static const char *const role_names[ROLE_MAX] = {
	[ROLE_ADMIN] = "admin",
	[ROLE_CUSTOMER] = "customer",
	[ROLE_HOST] = "host",
	[ROLE_GATEWAY] = "gateway",
};

static const char *name_of(const char *const *names, size_t n, int value)
{
	return value >= 0 && (size_t)value < n ? names[value] : NULL;
}

static int value_of(const char *const *names, size_t n, const char *text)
{
	for (size_t i = 0; text && i < n; i++)
		if (strcmp(names[i], text) == 0)
			return (int)i;
	return -1;
}

const char *role_name(enum role role)
{
	return name_of(role_names, ROLE_MAX, role);
}

enum role role_parse(const char *text)
{
	return value_of(role_names, ROLE_MAX, text);
}

const char *host_mode_name(enum host_mode mode)
{
	return name_of(host_mode_names, HOST_MODE_MAX, mode);
}

enum host_mode host_mode_parse(const char *text)
{
	return value_of(host_mode_names, HOST_MODE_MAX, text);
}

const char *host_status_name(const struct host *host)
{
	/* A host in maintenance is expected to be away. */
	if (host->mode == HOST_MAINTENANCE)
		return "maintenance";
	if (!host->online)
		return "offline";
	switch (host->mode) {
	case HOST_CORDONED:
	case HOST_DRAINING:
		return "draining";
	case HOST_MAINTENANCE:
	case HOST_ACTIVE:
	case HOST_MODE_MAX:
	case HOST_MODE_INVALID:
		break;
	}
	return "online";
}

const char *stage_name(enum environment_stage stage)
{
	return name_of(stage_names, STAGE_MAX, stage);
}

enum environment_stage stage_parse(const char *text)
{
	return value_of(stage_names, STAGE_MAX, text);
}

const char *environment_action_name(enum environment_action action)
{
	return name_of(action_names, ACTION_MAX, action);
}

enum environment_action environment_action_parse(const char *text)
{
	return value_of(action_names, ACTION_MAX, text);
}

const char *assignment_name(enum assignment_state assignment)
{
	return name_of(assignment_names, ASSIGNMENT_MAX, assignment);
}

enum assignment_state assignment_parse(const char *text)
{
	return value_of(assignment_names, ASSIGNMENT_MAX, text);
}

const char *port_state_name(enum port_state state)
{
	return name_of(port_state_names, PORT_STATE_MAX, state);
}

enum port_state port_state_parse(const char *text)
{
	return value_of(port_state_names, PORT_STATE_MAX, text);
}

const char *record_kind_name(enum record_kind kind)
{
	return name_of(record_kind_names, RECORD_KIND_MAX, kind);
}

bool port_is_mapped(const struct port *port)
{
	return port->has_target && (port->state == PORT_RESERVED || port->state == PORT_PUBLISHED);
}

bool gateway_serves(const struct gateway *gateway, const struct address *address)
{
	const struct gateway_registration *registration = &gateway->origin->registration;

	for (size_t i = 0; i < registration->n_addresses; i++)
		if (address_equal(&registration->addresses[i], address))
			return true;
	return false;
}

static void host_origin_unref(struct host_origin *origin)
{
	if (!origin || --origin->references > 0)
		return;
	host_registration_clear(&origin->registration);
	free(origin);
}

static void gateway_origin_unref(struct gateway_origin *origin)
{
	if (!origin || --origin->references > 0)
		return;
	gateway_registration_clear(&origin->registration);
	free(origin);
}

static void free_secret(char *secret)
{
	if (secret)
		explicit_bzero(secret, strlen(secret));
	free(secret);
}

static void environment_origin_unref(struct environment_origin *origin)
{
	if (!origin || --origin->references > 0)
		return;
	environment_spec_clear(&origin->spec);
	free(origin->login);
	free_secret(origin->password_hash);
	free_secret(origin->ssh_host_key);
	free(origin->ssh_host_key_public);
	free(origin);
}

void environment_share_origin(struct environment *environment, const struct environment *other)
{
	other->origin->references++;
	environment_origin_unref(environment->origin);
	environment->origin = other->origin;
}

struct host_origin *host_renew_origin(struct host *host)
{
	struct host_origin *origin = calloc(1, sizeof(*origin));

	if (!origin)
		return NULL;
	origin->references = 1;
	host_origin_unref(host->origin);
	host->origin = origin;
	return origin;
}

struct gateway_origin *gateway_renew_origin(struct gateway *gateway)
{
	struct gateway_origin *origin = calloc(1, sizeof(*origin));

	if (!origin)
		return NULL;
	origin->references = 1;
	gateway_origin_unref(gateway->origin);
	gateway->origin = origin;
	return origin;
}

int environment_drop_secrets(struct environment *environment)
{
	const struct environment_origin *old = environment->origin;
	struct environment_origin *origin = calloc(1, sizeof(*origin));
	int r;

	if (!origin)
		return -ENOMEM;
	origin->references = 1;
	memcpy(origin->id, old->id, sizeof(origin->id));
	origin->created_at = old->created_at;
	r = environment_spec_copy(&old->spec, &origin->spec);
	if (r < 0) {
		free(origin);
		return r;
	}
	origin->login = strdup(old->login);
	if (old->ssh_host_key_public)
		origin->ssh_host_key_public = strdup(old->ssh_host_key_public);
	if (!origin->login || !origin->ssh_host_key_public != !old->ssh_host_key_public) {
		environment_origin_unref(origin);
		return -ENOMEM;
	}
	environment_origin_unref(environment->origin);
	environment->origin = origin;
	return 0;
}

static size_t record_size(enum record_kind kind)
{
	switch (kind) {
	case RECORD_HOST:
		return sizeof(struct host);
	case RECORD_GATEWAY:
		return sizeof(struct gateway);
	case RECORD_ENVIRONMENT:
		return sizeof(struct environment);
	case RECORD_PORT:
		return sizeof(struct port);
	case RECORD_CUSTOMER:
		return sizeof(struct customer);
	case RECORD_TOKEN:
		return sizeof(struct token);
	case RECORD_KEY:
		return sizeof(struct key);
	case RECORD_KIND_MAX:
		break;
	}
	return 0;
}

static void hold(struct record *record)
{
	switch (record->kind) {
	case RECORD_HOST:
		((struct host *)record)->origin->references++;
		break;
	case RECORD_GATEWAY:
		((struct gateway *)record)->origin->references++;
		break;
	case RECORD_ENVIRONMENT:
		((struct environment *)record)->origin->references++;
		json_incref(((struct environment *)record)->gpus);
		break;
	case RECORD_PORT:
	case RECORD_CUSTOMER:
	case RECORD_TOKEN:
	case RECORD_KEY:
	case RECORD_KIND_MAX:
		break;
	}
}

struct record *record_copy(const struct record *record)
{
	size_t size = record_size(record->kind);
	struct record *copy = malloc(size);

	if (!copy)
		return NULL;
	memcpy(copy, record, size);
	hold(copy);
	return copy;
}

void record_free(struct record *record)
{
	if (!record)
		return;
	switch (record->kind) {
	case RECORD_HOST:
		host_origin_unref(((struct host *)record)->origin);
		break;
	case RECORD_GATEWAY:
		gateway_origin_unref(((struct gateway *)record)->origin);
		break;
	case RECORD_ENVIRONMENT:
		environment_origin_unref(((struct environment *)record)->origin);
		json_decref(((struct environment *)record)->gpus);
		break;
	case RECORD_PORT:
	case RECORD_CUSTOMER:
	case RECORD_TOKEN:
	case RECORD_KEY:
	case RECORD_KIND_MAX:
		break;
	}
	free(record);
}

static void *new_record(enum record_kind kind)
{
	struct record *record = calloc(1, record_size(kind));

	if (record)
		record->kind = kind;
	return record;
}

struct host *host_new(void)
{
	_cleanup_(cleanup_host) struct host *host = new_record(RECORD_HOST);

	if (!host || !host_renew_origin(host))
		return NULL;
	return TAKE_PTR(host);
}

struct gateway *gateway_new(void)
{
	_cleanup_(cleanup_gateway) struct gateway *gateway = new_record(RECORD_GATEWAY);

	if (!gateway || !gateway_renew_origin(gateway))
		return NULL;
	return TAKE_PTR(gateway);
}

struct environment *environment_new(void)
{
	_cleanup_(cleanup_environment) struct environment *environment =
		new_record(RECORD_ENVIRONMENT);

	if (!environment)
		return NULL;
	environment->origin = calloc(1, sizeof(*environment->origin));
	if (!environment->origin)
		return NULL;
	environment->origin->references = 1;
	environment->exit_code = EXIT_CODE_NONE;
	return TAKE_PTR(environment);
}

struct port *port_new(void)
{
	return new_record(RECORD_PORT);
}

struct customer *customer_new(void)
{
	struct customer *customer = new_record(RECORD_CUSTOMER);

	if (customer)
		quota_unlimit(&customer->quota);
	return customer;
}

struct token *token_new(void)
{
	return new_record(RECORD_TOKEN);
}

struct key *key_new(void)
{
	return new_record(RECORD_KEY);
}
