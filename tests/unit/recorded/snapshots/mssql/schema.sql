-- contenttypes 0001_initial
-- Create model ContentType
CREATE TABLE [django_content_type] ([id] int NOT NULL PRIMARY KEY IDENTITY (1, 1),
    [name] nvarchar(100) NOT NULL,
    [app_label] nvarchar(100) NOT NULL,
    [model] nvarchar(100) NOT NULL);
-- Alter unique_together for contenttype (1 constraint(s))
CREATE UNIQUE INDEX [django_content_type_app_label_model_76bd3d3b_uniq] ON [django_content_type] ([app_label], [model])
    WHERE [app_label] IS NOT NULL AND [model] IS NOT NULL;

-- auth 0001_initial
-- Create model Permission
CREATE TABLE [auth_permission] ([id] int NOT NULL PRIMARY KEY IDENTITY (1, 1),
    [name] nvarchar(50) NOT NULL,
    [content_type_id] int NOT NULL,
    [codename] nvarchar(100) NOT NULL);
-- Create model Group
CREATE TABLE [auth_group] ([id] int NOT NULL PRIMARY KEY IDENTITY (1, 1),
    [name] nvarchar(80) NOT NULL UNIQUE);
CREATE TABLE [auth_group_permissions] ([id] bigint NOT NULL PRIMARY KEY IDENTITY (1, 1),
    [group_id] int NOT NULL,
    [permission_id] int NOT NULL);
-- Create model User
CREATE TABLE [auth_user] ([id] int NOT NULL PRIMARY KEY IDENTITY (1, 1),
    [password] nvarchar(128) NOT NULL,
    [last_login] datetimeoffset NOT NULL,
    [is_superuser] bit NOT NULL,
    [username] nvarchar(30) NOT NULL UNIQUE,
    [first_name] nvarchar(30) NOT NULL,
    [last_name] nvarchar(30) NOT NULL,
    [email] nvarchar(75) NOT NULL,
    [is_staff] bit NOT NULL,
    [is_active] bit NOT NULL,
    [date_joined] datetimeoffset NOT NULL);
CREATE TABLE [auth_user_groups] ([id] bigint NOT NULL PRIMARY KEY IDENTITY (1, 1),
    [user_id] int NOT NULL,
    [group_id] int NOT NULL);
CREATE TABLE [auth_user_user_permissions] ([id] bigint NOT NULL PRIMARY KEY IDENTITY (1, 1),
    [user_id] int NOT NULL,
    [permission_id] int NOT NULL);
ALTER TABLE [auth_group_permissions] ADD CONSTRAINT [auth_group_permissions_group_id_b120cbf9_fk_auth_group_id]
    FOREIGN KEY ([group_id]) REFERENCES [auth_group] ([id]);
ALTER TABLE [auth_group_permissions] ADD CONSTRAINT [auth_group_permissions_permission_id_84c5c92e_fk_auth_permission_id]
    FOREIGN KEY ([permission_id]) REFERENCES [auth_permission] ([id]);
ALTER TABLE [auth_permission] ADD CONSTRAINT [auth_permission_content_type_id_2f476e4b_fk_django_content_type_id]
    FOREIGN KEY ([content_type_id]) REFERENCES [django_content_type] ([id]);
ALTER TABLE [auth_user_groups] ADD CONSTRAINT [auth_user_groups_group_id_97559544_fk_auth_group_id]
    FOREIGN KEY ([group_id]) REFERENCES [auth_group] ([id]);
ALTER TABLE [auth_user_groups] ADD CONSTRAINT [auth_user_groups_user_id_6a12ed8b_fk_auth_user_id]
    FOREIGN KEY ([user_id]) REFERENCES [auth_user] ([id]);
ALTER TABLE [auth_user_user_permissions] ADD CONSTRAINT [auth_user_user_permissions_permission_id_1fbb5f2c_fk_auth_permission_id]
    FOREIGN KEY ([permission_id]) REFERENCES [auth_permission] ([id]);
ALTER TABLE [auth_user_user_permissions] ADD CONSTRAINT [auth_user_user_permissions_user_id_a95ead1b_fk_auth_user_id]
    FOREIGN KEY ([user_id]) REFERENCES [auth_user] ([id]);
CREATE INDEX [auth_group_permissions_group_id_b120cbf9] ON [auth_group_permissions] ([group_id]);
CREATE INDEX [auth_group_permissions_permission_id_84c5c92e] ON [auth_group_permissions] ([permission_id]);
CREATE INDEX [auth_permission_content_type_id_2f476e4b] ON [auth_permission] ([content_type_id]);
CREATE INDEX [auth_user_groups_group_id_97559544] ON [auth_user_groups] ([group_id]);
CREATE INDEX [auth_user_groups_user_id_6a12ed8b] ON [auth_user_groups] ([user_id]);
CREATE INDEX [auth_user_user_permissions_permission_id_1fbb5f2c] ON [auth_user_user_permissions] ([permission_id]);
CREATE INDEX [auth_user_user_permissions_user_id_a95ead1b] ON [auth_user_user_permissions] ([user_id]);
CREATE UNIQUE INDEX [auth_group_permissions_group_id_permission_id_0cd325b0_uniq] ON [auth_group_permissions] ([group_id], [permission_id])
    WHERE [group_id] IS NOT NULL AND [permission_id] IS NOT NULL;
CREATE UNIQUE INDEX [auth_permission_content_type_id_codename_01ab375a_uniq] ON [auth_permission] ([content_type_id], [codename])
    WHERE [content_type_id] IS NOT NULL AND [codename] IS NOT NULL;
CREATE UNIQUE INDEX [auth_user_groups_user_id_group_id_94350c0c_uniq] ON [auth_user_groups] ([user_id], [group_id])
    WHERE [user_id] IS NOT NULL AND [group_id] IS NOT NULL;
CREATE UNIQUE INDEX [auth_user_user_permissions_user_id_permission_id_14a6b632_uniq] ON [auth_user_user_permissions] ([user_id], [permission_id])
    WHERE [user_id] IS NOT NULL AND [permission_id] IS NOT NULL;

-- admin 0001_initial
-- Create model LogEntry
CREATE TABLE [django_admin_log] ([id] int NOT NULL PRIMARY KEY IDENTITY (1, 1),
    [action_time] datetimeoffset NOT NULL,
    [object_id] nvarchar(max) NULL,
    [object_repr] nvarchar(200) NOT NULL,
    [action_flag] smallint NOT NULL CONSTRAINT django_admin_log_action_flag_a8637d59_check CHECK ([action_flag] >= 0),
    [change_message] nvarchar(max) NOT NULL,
    [content_type_id] int NULL,
    [user_id] int NOT NULL);
ALTER TABLE [django_admin_log] ADD CONSTRAINT [django_admin_log_content_type_id_c4bce8eb_fk_django_content_type_id]
    FOREIGN KEY ([content_type_id]) REFERENCES [django_content_type] ([id]);
ALTER TABLE [django_admin_log] ADD CONSTRAINT [django_admin_log_user_id_c564eba6_fk_auth_user_id]
    FOREIGN KEY ([user_id]) REFERENCES [auth_user] ([id]);
CREATE INDEX [django_admin_log_content_type_id_c4bce8eb] ON [django_admin_log] ([content_type_id]);
CREATE INDEX [django_admin_log_user_id_c564eba6] ON [django_admin_log] ([user_id]);

-- admin 0002_logentry_remove_auto_add
-- Alter field action_time on logentry
-- (no-op)

-- admin 0003_logentry_add_action_flag_choices
-- Alter field action_flag on logentry
-- (no-op)

-- api_keys 0001_initial
-- Create model ApiKey
CREATE TABLE [api_keys_apikey] ([id] bigint NOT NULL PRIMARY KEY IDENTITY (1, 1),
    [name] nvarchar(100) NOT NULL,
    [prefix] nvarchar(20) NOT NULL UNIQUE,
    [digest] nvarchar(64) NOT NULL,
    [scopes] nvarchar(60) NOT NULL,
    [memories] nvarchar(max) NOT NULL,
    [tenant] nvarchar(63) NOT NULL,
    [rate] int NULL,
    [created_at] datetimeoffset NOT NULL,
    [expires_at] datetimeoffset NULL,
    [last_used_at] datetimeoffset NULL,
    [revoked_at] datetimeoffset NULL);
CREATE INDEX [api_key_created] ON [api_keys_apikey] ([created_at], [id]);
CREATE INDEX [api_key_tenant] ON [api_keys_apikey] ([tenant]);

-- contenttypes 0002_remove_content_type_name
-- Change Meta options on contenttype
-- (no-op)
-- Alter field name on contenttype
ALTER TABLE [django_content_type] ALTER COLUMN [name] nvarchar(100) NULL;
-- Raw Python operation
-- THIS OPERATION CANNOT BE WRITTEN AS SQL
-- Remove field name from contenttype
ALTER TABLE [django_content_type] DROP COLUMN [name];

-- auth 0002_alter_permission_name_max_length
-- Alter field name on permission
ALTER TABLE [auth_permission] ALTER COLUMN [name] nvarchar(255) NOT NULL;

-- auth 0003_alter_user_email_max_length
-- Alter field email on user
ALTER TABLE [auth_user] ALTER COLUMN [email] nvarchar(254) NOT NULL;

-- auth 0004_alter_user_username_opts
-- Alter field username on user
-- (no-op)

-- auth 0005_alter_user_last_login_null
-- Alter field last_login on user
ALTER TABLE [auth_user] ALTER COLUMN [last_login] datetimeoffset NULL;

-- auth 0006_require_contenttypes_0002

-- auth 0007_alter_validators_add_error_messages
-- Alter field username on user
-- (no-op)

-- auth 0008_alter_user_username_max_length
-- Alter field username on user
ALTER TABLE [auth_user] ALTER COLUMN [username] nvarchar(150) NOT NULL;
ALTER TABLE [auth_user] ADD CONSTRAINT [auth_user_username_6821ab7c_uniq] UNIQUE ([username]);

-- auth 0009_alter_user_last_name_max_length
-- Alter field last_name on user
ALTER TABLE [auth_user] ALTER COLUMN [last_name] nvarchar(150) NOT NULL;

-- auth 0010_alter_group_name_max_length
-- Alter field name on group
ALTER TABLE [auth_group] ALTER COLUMN [name] nvarchar(150) NOT NULL;
ALTER TABLE [auth_group] ADD CONSTRAINT [auth_group_name_a6ea08ec_uniq] UNIQUE ([name]);

-- auth 0011_update_proxy_permissions
-- Raw Python operation
-- THIS OPERATION CANNOT BE WRITTEN AS SQL

-- auth 0012_alter_user_first_name_max_length
-- Alter field first_name on user
ALTER TABLE [auth_user] ALTER COLUMN [first_name] nvarchar(150) NOT NULL;

-- axes 0001_initial
-- Create model AccessAttempt
CREATE TABLE [axes_accessattempt] ([id] int NOT NULL PRIMARY KEY IDENTITY (1, 1),
    [user_agent] nvarchar(255) NOT NULL,
    [ip_address] nvarchar(39) NULL,
    [username] nvarchar(255) NULL,
    [trusted] bit NOT NULL,
    [http_accept] nvarchar(1025) NOT NULL,
    [path_info] nvarchar(255) NOT NULL,
    [attempt_time] datetimeoffset NOT NULL,
    [get_data] nvarchar(max) NOT NULL,
    [post_data] nvarchar(max) NOT NULL,
    [failures_since_start] int NOT NULL CONSTRAINT axes_accessattempt_failures_since_start_7154a700_check CHECK ([failures_since_start] >= 0));
-- Create model AccessLog
CREATE TABLE [axes_accesslog] ([id] int NOT NULL PRIMARY KEY IDENTITY (1, 1),
    [user_agent] nvarchar(255) NOT NULL,
    [ip_address] nvarchar(39) NULL,
    [username] nvarchar(255) NULL,
    [trusted] bit NOT NULL,
    [http_accept] nvarchar(1025) NOT NULL,
    [path_info] nvarchar(255) NOT NULL,
    [attempt_time] datetimeoffset NOT NULL,
    [logout_time] datetimeoffset NULL);

-- axes 0002_auto_20151217_2044
-- Alter field ip_address on accessattempt
CREATE INDEX [axes_accessattempt_ip_address_10922d9c] ON [axes_accessattempt] ([ip_address]);
-- Alter field trusted on accessattempt
CREATE INDEX [axes_accessattempt_trusted_0eddf52e] ON [axes_accessattempt] ([trusted]);
-- Alter field user_agent on accessattempt
CREATE INDEX [axes_accessattempt_user_agent_ad89678b] ON [axes_accessattempt] ([user_agent]);
-- Alter field username on accessattempt
CREATE INDEX [axes_accessattempt_username_3f2d4ca0] ON [axes_accessattempt] ([username]);
-- Alter field ip_address on accesslog
CREATE INDEX [axes_accesslog_ip_address_86b417e5] ON [axes_accesslog] ([ip_address]);
-- Alter field trusted on accesslog
CREATE INDEX [axes_accesslog_trusted_496c5681] ON [axes_accesslog] ([trusted]);
-- Alter field user_agent on accesslog
CREATE INDEX [axes_accesslog_user_agent_0e659004] ON [axes_accesslog] ([user_agent]);
-- Alter field username on accesslog
CREATE INDEX [axes_accesslog_username_df93064b] ON [axes_accesslog] ([username]);

-- axes 0003_auto_20160322_0929
-- Alter field failures_since_start on accessattempt
-- (no-op)
-- Alter field get_data on accessattempt
-- (no-op)
-- Alter field http_accept on accessattempt
-- (no-op)
-- Alter field ip_address on accessattempt
-- (no-op)
-- Alter field path_info on accessattempt
-- (no-op)
-- Alter field post_data on accessattempt
-- (no-op)
-- Alter field http_accept on accesslog
-- (no-op)
-- Alter field ip_address on accesslog
-- (no-op)
-- Alter field path_info on accesslog
-- (no-op)

-- axes 0004_auto_20181024_1538
-- Change Meta options on accessattempt
-- (no-op)
-- Change Meta options on accesslog
-- (no-op)
-- Alter field attempt_time on accessattempt
-- (no-op)
-- Alter field user_agent on accessattempt
-- (no-op)
-- Alter field username on accessattempt
-- (no-op)
-- Alter field attempt_time on accesslog
-- (no-op)
-- Alter field logout_time on accesslog
-- (no-op)
-- Alter field user_agent on accesslog
-- (no-op)
-- Alter field username on accesslog
-- (no-op)

-- axes 0005_remove_accessattempt_trusted
-- Remove field trusted from accessattempt
ALTER TABLE [axes_accessattempt] DROP COLUMN [trusted];

-- axes 0006_remove_accesslog_trusted
-- Remove field trusted from accesslog
ALTER TABLE [axes_accesslog] DROP COLUMN [trusted];

-- axes 0007_alter_accessattempt_unique_together
-- Raw Python operation
-- THIS OPERATION CANNOT BE WRITTEN AS SQL
-- Alter unique_together for accessattempt (1 constraint(s))
CREATE UNIQUE INDEX [axes_accessattempt_username_ip_address_user_agent_8ea22282_uniq] ON [axes_accessattempt] ([username], [ip_address], [user_agent])
    WHERE [username] IS NOT NULL AND [ip_address] IS NOT NULL AND [user_agent] IS NOT NULL;

-- axes 0008_accessfailurelog
-- Create model AccessFailureLog
CREATE TABLE [axes_accessfailurelog] ([id] int NOT NULL PRIMARY KEY IDENTITY (1, 1),
    [user_agent] nvarchar(255) NOT NULL,
    [ip_address] nvarchar(39) NULL,
    [username] nvarchar(255) NULL,
    [http_accept] nvarchar(1025) NOT NULL,
    [path_info] nvarchar(255) NOT NULL,
    [attempt_time] datetimeoffset NOT NULL,
    [locked_out] bit NOT NULL);
CREATE INDEX [axes_accessfailurelog_ip_address_2e9f5a7f] ON [axes_accessfailurelog] ([ip_address]);
CREATE INDEX [axes_accessfailurelog_user_agent_ea145dda] ON [axes_accessfailurelog] ([user_agent]);
CREATE INDEX [axes_accessfailurelog_username_a8b7e8a4] ON [axes_accessfailurelog] ([username]);

-- axes 0009_add_session_hash
-- Add field session_hash to accesslog
ALTER TABLE [axes_accesslog] ADD [session_hash] nvarchar(64) DEFAULT '' NOT NULL;
SELECT d.name
    FROM sys.default_constraints d
    INNER JOIN sys.tables t ON d.parent_object_id = t.object_id
    INNER JOIN sys.columns c ON d.parent_object_id = c.object_id AND d.parent_column_id = c.column_id
    INNER JOIN sys.schemas s ON t.schema_id = s.schema_id
    WHERE t.name = 'axes_accesslog' AND c.name = 'session_hash';
ALTER TABLE [axes_accesslog] DROP CONSTRAINT [session_hash];

-- axes 0010_accessattemptexpiration
-- Create model AccessAttemptExpiration
CREATE TABLE [axes_accessattemptexpiration] ([access_attempt_id] int NOT NULL PRIMARY KEY,
    [expires_at] datetimeoffset NOT NULL);
ALTER TABLE [axes_accessattemptexpiration] ADD CONSTRAINT [axes_accessattemptexpiration_access_attempt_id_6b73a47a_fk_axes_accessattempt_id]
    FOREIGN KEY ([access_attempt_id]) REFERENCES [axes_accessattempt] ([id]);

-- convstore 0001_initial
-- Create model Conversation
CREATE TABLE [convstore_conversation] ([id] char(32) NOT NULL PRIMARY KEY,
    [memory_id] nvarchar(510) NOT NULL,
    [created_at] datetimeoffset NOT NULL,
    [active_at] datetimeoffset NOT NULL);
-- Create model Message
CREATE TABLE [convstore_message] ([position] bigint NOT NULL,
    [role] nvarchar(510) NOT NULL,
    [body] nvarchar(max) NOT NULL,
    [request_key] char(32) NOT NULL,
    [fingerprint] char(32) NOT NULL,
    [created_at] datetimeoffset NOT NULL,
    [conversation_id] char(32) NOT NULL,
    PRIMARY KEY ([conversation_id], [position]),
    CONSTRAINT [message_request_once] UNIQUE ([conversation_id], [request_key]),
    CONSTRAINT [message_position_from_1] CHECK ([position] >= 1));
ALTER TABLE [convstore_message] ADD CONSTRAINT [convstore_message_conversation_id_0abfa14b_fk_convstore_conversation_id]
    FOREIGN KEY ([conversation_id]) REFERENCES [convstore_conversation] ([id]);
CREATE INDEX [conversation_active] ON [convstore_conversation] ([active_at], [id]);
CREATE INDEX [conversation_created] ON [convstore_conversation] ([created_at], [id]);

-- convstore 0002_find_by_memory_id
-- Create index conversation_memory_id on field(s) memory_id of model conversation
CREATE INDEX [conversation_memory_id] ON [convstore_conversation] ([memory_id]);

-- convstore 0003_words

-- convstore 0004_size_kind_and_erased
-- Add field erased to conversation
ALTER TABLE [convstore_conversation] ADD [erased] bigint DEFAULT 0 NOT NULL;
-- Add field changes to conversation
ALTER TABLE [convstore_conversation] ADD [changes] bigint DEFAULT 0 NOT NULL;
-- Add field first_live to conversation
ALTER TABLE [convstore_conversation] ADD [first_live] bigint NULL;
-- Add field size to message
ALTER TABLE [convstore_message] ADD [size] int DEFAULT 0 NOT NULL;
-- Add field tokens to message
ALTER TABLE [convstore_message] ADD [tokens] int NULL;
-- Add field kind to message
ALTER TABLE [convstore_message] ADD [kind] smallint DEFAULT 0 NOT NULL;

-- convstore 0005_postgresql_functions
-- Raw Python operation
-- THIS OPERATION CANNOT BE WRITTEN AS SQL

-- convstore 0006_mariadb_procedures
-- Raw Python operation
-- THIS OPERATION CANNOT BE WRITTEN AS SQL

-- convstore 0007_postgresql_plain_window
-- Raw Python operation
-- THIS OPERATION CANNOT BE WRITTEN AS SQL

-- convstore 0008_words_of_messages
-- Add field words to message
ALTER TABLE [convstore_message] ADD [words] nvarchar(max) NULL;
-- Raw Python operation
-- THIS OPERATION CANNOT BE WRITTEN AS SQL
-- Create model WordSwitch
CREATE TABLE [convstore_wordswitch] ([id] smallint NOT NULL PRIMARY KEY,
    [enabled] bit NOT NULL,
    [filled] bit NOT NULL,
    [filled_to] char(32) NULL,
    [filled_position] bigint NOT NULL);

-- convstore 0009_exchange_v2
-- Raw Python operation
-- THIS OPERATION CANNOT BE WRITTEN AS SQL
-- Raw Python operation
-- THIS OPERATION CANNOT BE WRITTEN AS SQL

-- convstore 0010_items_and_metadata
-- Add field metadata to conversation
ALTER TABLE [convstore_conversation] ADD [metadata] nvarchar(max) NULL;
-- Create model ItemId
CREATE TABLE [convstore_itemid] ([conversation] char(32) NOT NULL,
    [digest] char(32) NOT NULL,
    [position] bigint NOT NULL,
    [number] int NOT NULL,
    PRIMARY KEY ([conversation], [digest]));
-- Create model MetadataPair
CREATE TABLE [convstore_metadatapair] ([digest] char(32) NOT NULL,
    [created_at] datetimeoffset NOT NULL,
    [conversation] char(32) NOT NULL,
    PRIMARY KEY ([digest], [created_at], [conversation]));

-- convstore 0011_longer_ids
-- Alter field memory_id on conversation
ALTER TABLE [convstore_conversation] ALTER COLUMN [memory_id] nvarchar(574) NOT NULL;

-- convstore 0012_lists_of_tenants
-- Raw Python operation
-- THIS OPERATION CANNOT BE WRITTEN AS SQL

-- convstore 0013_pairs_of_tenants
-- Raw Python operation
-- THIS OPERATION CANNOT BE WRITTEN AS SQL

-- convstore 0014_window_of_one_snapshot
-- Raw Python operation
-- THIS OPERATION CANNOT BE WRITTEN AS SQL
-- Raw Python operation
-- THIS OPERATION CANNOT BE WRITTEN AS SQL

-- inspection 0001_audit_log
-- Create model AuditEntry
CREATE TABLE [inspection_auditentry] ([id] bigint NOT NULL PRIMARY KEY IDENTITY (1, 1),
    [at] datetimeoffset NOT NULL,
    [username] nvarchar(150) NOT NULL,
    [action] nvarchar(20) NOT NULL,
    [database] nvarchar(200) NOT NULL,
    [conversation] char(32) NULL,
    [memory_id] nvarchar(510) NOT NULL,
    [detail] nvarchar(max) NOT NULL,
    [user_id] int NULL);
ALTER TABLE [inspection_auditentry] ADD CONSTRAINT [inspection_auditentry_user_id_81320805_fk_auth_user_id]
    FOREIGN KEY ([user_id]) REFERENCES [auth_user] ([id]);
CREATE INDEX [audit_action] ON [inspection_auditentry] ([action], [at]);
CREATE INDEX [audit_at] ON [inspection_auditentry] ([at], [id]);
CREATE INDEX [audit_conversation] ON [inspection_auditentry] ([conversation], [at]);
CREATE INDEX [audit_username] ON [inspection_auditentry] ([username], [at]);
CREATE INDEX [inspection_auditentry_user_id_81320805] ON [inspection_auditentry] ([user_id]);

-- inspection 0002_auditentry_address
-- Add field address to auditentry
ALTER TABLE [inspection_auditentry] ADD [address] nvarchar(45) DEFAULT '' NOT NULL;

-- inspection 0003_listedconversation
-- Create model ListedConversation
CREATE TABLE [inspection_listedconversation] ([id] bigint NOT NULL PRIMARY KEY IDENTITY (1, 1),
    [conversation] char(32) NOT NULL,
    [memory_id] nvarchar(510) NOT NULL,
    [entry_id] bigint NOT NULL);
ALTER TABLE [inspection_listedconversation] ADD CONSTRAINT [inspection_listedconversation_entry_id_b0818ebe_fk_inspection_auditentry_id]
    FOREIGN KEY ([entry_id]) REFERENCES [inspection_auditentry] ([id]);
CREATE INDEX [audit_listed] ON [inspection_listedconversation] ([conversation], [entry_id]);
CREATE INDEX [inspection_listedconversation_entry_id_b0818ebe] ON [inspection_listedconversation] ([entry_id]);

-- inspection 0004_job
-- Create model Job
CREATE TABLE [inspection_job] ([id] bigint NOT NULL PRIMARY KEY IDENTITY (1, 1),
    [username] nvarchar(150) NOT NULL,
    [action] nvarchar(20) NOT NULL,
    [database] nvarchar(200) NOT NULL,
    [database_name] nvarchar(200) NOT NULL,
    [filter] nvarchar(max) NOT NULL,
    [reason] nvarchar(500) NOT NULL,
    [begun_at] datetimeoffset NOT NULL,
    [ended_at] datetimeoffset NULL,
    [conversations] bigint NOT NULL,
    [messages] bigint NOT NULL,
    [parts] int NOT NULL,
    [cursor] nvarchar(max) NOT NULL,
    [receipt] nvarchar(max) NOT NULL,
    [user_id] int NULL);
ALTER TABLE [inspection_job] ADD CONSTRAINT [inspection_job_user_id_393377d0_fk_auth_user_id]
    FOREIGN KEY ([user_id]) REFERENCES [auth_user] ([id]);
CREATE INDEX [inspection_job_user_id_393377d0] ON [inspection_job] ([user_id]);

-- inspection 0005_daycount
-- Create model DayCount
CREATE TABLE [inspection_daycount] ([id] bigint NOT NULL PRIMARY KEY IDENTITY (1, 1),
    [database] nvarchar(200) NOT NULL,
    [day] date NOT NULL,
    [conversations] bigint NOT NULL,
    [messages] bigint NOT NULL,
    CONSTRAINT [day_once] UNIQUE ([database], [day]));

-- inspection 0006_longer_ids
-- Alter field memory_id on auditentry
ALTER TABLE [inspection_auditentry] ALTER COLUMN [memory_id] nvarchar(574) NOT NULL;
-- Alter field memory_id on listedconversation
ALTER TABLE [inspection_listedconversation] ALTER COLUMN [memory_id] nvarchar(574) NOT NULL;

-- sessions 0001_initial
-- Create model Session
CREATE TABLE [django_session] ([session_key] nvarchar(40) NOT NULL PRIMARY KEY,
    [session_data] nvarchar(max) NOT NULL,
    [expire_date] datetimeoffset NOT NULL);
CREATE INDEX [django_session_expire_date_a5c62663] ON [django_session] ([expire_date]);

-- convstore 0014_window_of_one_snapshot, backwards
-- Raw Python operation
-- THIS OPERATION CANNOT BE WRITTEN AS SQL
-- Raw Python operation
-- THIS OPERATION CANNOT BE WRITTEN AS SQL

-- convstore 0013_pairs_of_tenants, backwards
-- Raw Python operation
-- THIS OPERATION CANNOT BE WRITTEN AS SQL

-- convstore 0012_lists_of_tenants, backwards
-- Raw Python operation
-- THIS OPERATION CANNOT BE WRITTEN AS SQL

-- convstore 0011_longer_ids, backwards
-- Alter field memory_id on conversation
-- (no-op)

-- convstore 0010_items_and_metadata, backwards
-- Create model MetadataPair
DECLARE @sql_foreign_constraint_name nvarchar(128)
        DECLARE @sql_drop_constraint nvarchar(300)
        WHILE EXISTS(SELECT 1
            FROM sys.foreign_keys
            WHERE referenced_object_id = object_id('[convstore_metadatapair]'))
        BEGIN
            SELECT TOP 1 @sql_foreign_constraint_name = name
            FROM sys.foreign_keys
            WHERE referenced_object_id = object_id('[convstore_metadatapair]')
            SELECT
            @sql_drop_constraint = 'ALTER TABLE [' + OBJECT_NAME(parent_object_id) + '] ' +
            'DROP CONSTRAINT [' + @sql_foreign_constraint_name + '] '
            FROM sys.foreign_keys
            WHERE referenced_object_id = object_id('[convstore_metadatapair]') and name = @sql_foreign_constraint_name
            exec sp_executesql @sql_drop_constraint
        END
        DROP TABLE [convstore_metadatapair]
;
-- Create model ItemId
DECLARE @sql_foreign_constraint_name nvarchar(128)
        DECLARE @sql_drop_constraint nvarchar(300)
        WHILE EXISTS(SELECT 1
            FROM sys.foreign_keys
            WHERE referenced_object_id = object_id('[convstore_itemid]'))
        BEGIN
            SELECT TOP 1 @sql_foreign_constraint_name = name
            FROM sys.foreign_keys
            WHERE referenced_object_id = object_id('[convstore_itemid]')
            SELECT
            @sql_drop_constraint = 'ALTER TABLE [' + OBJECT_NAME(parent_object_id) + '] ' +
            'DROP CONSTRAINT [' + @sql_foreign_constraint_name + '] '
            FROM sys.foreign_keys
            WHERE referenced_object_id = object_id('[convstore_itemid]') and name = @sql_foreign_constraint_name
            exec sp_executesql @sql_drop_constraint
        END
        DROP TABLE [convstore_itemid]
;
-- Add field metadata to conversation
ALTER TABLE [convstore_conversation] DROP COLUMN [metadata];

-- convstore 0009_exchange_v2, backwards
-- Raw Python operation
-- THIS OPERATION CANNOT BE WRITTEN AS SQL
-- Raw Python operation
-- THIS OPERATION CANNOT BE WRITTEN AS SQL

-- convstore 0008_words_of_messages, backwards
-- Create model WordSwitch
DECLARE @sql_foreign_constraint_name nvarchar(128)
        DECLARE @sql_drop_constraint nvarchar(300)
        WHILE EXISTS(SELECT 1
            FROM sys.foreign_keys
            WHERE referenced_object_id = object_id('[convstore_wordswitch]'))
        BEGIN
            SELECT TOP 1 @sql_foreign_constraint_name = name
            FROM sys.foreign_keys
            WHERE referenced_object_id = object_id('[convstore_wordswitch]')
            SELECT
            @sql_drop_constraint = 'ALTER TABLE [' + OBJECT_NAME(parent_object_id) + '] ' +
            'DROP CONSTRAINT [' + @sql_foreign_constraint_name + '] '
            FROM sys.foreign_keys
            WHERE referenced_object_id = object_id('[convstore_wordswitch]') and name = @sql_foreign_constraint_name
            exec sp_executesql @sql_drop_constraint
        END
        DROP TABLE [convstore_wordswitch]
;
-- Raw Python operation
-- THIS OPERATION CANNOT BE WRITTEN AS SQL
-- Add field words to message
ALTER TABLE [convstore_message] DROP COLUMN [words];

-- convstore 0007_postgresql_plain_window, backwards
-- Raw Python operation
-- THIS OPERATION CANNOT BE WRITTEN AS SQL

-- convstore 0006_mariadb_procedures, backwards
-- Raw Python operation
-- THIS OPERATION CANNOT BE WRITTEN AS SQL

-- convstore 0005_postgresql_functions, backwards
-- Raw Python operation
-- THIS OPERATION CANNOT BE WRITTEN AS SQL

-- convstore 0004_size_kind_and_erased, backwards
-- Add field kind to message
ALTER TABLE [convstore_message] DROP COLUMN [kind];
-- Add field tokens to message
ALTER TABLE [convstore_message] DROP COLUMN [tokens];
-- Add field size to message
ALTER TABLE [convstore_message] DROP COLUMN [size];
-- Add field first_live to conversation
ALTER TABLE [convstore_conversation] DROP COLUMN [first_live];
-- Add field changes to conversation
ALTER TABLE [convstore_conversation] DROP COLUMN [changes];
-- Add field erased to conversation
ALTER TABLE [convstore_conversation] DROP COLUMN [erased];

-- convstore 0003_words, backwards

-- convstore 0002_find_by_memory_id, backwards
-- Create index conversation_memory_id on field(s) memory_id of model conversation
DROP INDEX [conversation_memory_id] ON [convstore_conversation];

-- convstore 0001_initial, backwards
-- Create model Message
DECLARE @sql_foreign_constraint_name nvarchar(128)
        DECLARE @sql_drop_constraint nvarchar(300)
        WHILE EXISTS(SELECT 1
            FROM sys.foreign_keys
            WHERE referenced_object_id = object_id('[convstore_message]'))
        BEGIN
            SELECT TOP 1 @sql_foreign_constraint_name = name
            FROM sys.foreign_keys
            WHERE referenced_object_id = object_id('[convstore_message]')
            SELECT
            @sql_drop_constraint = 'ALTER TABLE [' + OBJECT_NAME(parent_object_id) + '] ' +
            'DROP CONSTRAINT [' + @sql_foreign_constraint_name + '] '
            FROM sys.foreign_keys
            WHERE referenced_object_id = object_id('[convstore_message]') and name = @sql_foreign_constraint_name
            exec sp_executesql @sql_drop_constraint
        END
        DROP TABLE [convstore_message]
;
-- Create model Conversation
DECLARE @sql_foreign_constraint_name nvarchar(128)
        DECLARE @sql_drop_constraint nvarchar(300)
        WHILE EXISTS(SELECT 1
            FROM sys.foreign_keys
            WHERE referenced_object_id = object_id('[convstore_conversation]'))
        BEGIN
            SELECT TOP 1 @sql_foreign_constraint_name = name
            FROM sys.foreign_keys
            WHERE referenced_object_id = object_id('[convstore_conversation]')
            SELECT
            @sql_drop_constraint = 'ALTER TABLE [' + OBJECT_NAME(parent_object_id) + '] ' +
            'DROP CONSTRAINT [' + @sql_foreign_constraint_name + '] '
            FROM sys.foreign_keys
            WHERE referenced_object_id = object_id('[convstore_conversation]') and name = @sql_foreign_constraint_name
            exec sp_executesql @sql_drop_constraint
        END
        DROP TABLE [convstore_conversation]
;
