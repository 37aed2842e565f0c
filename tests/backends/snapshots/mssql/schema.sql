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

-- sessions 0001_initial
-- Create model Session
CREATE TABLE [django_session] ([session_key] nvarchar(40) NOT NULL PRIMARY KEY,
    [session_data] nvarchar(max) NOT NULL,
    [expire_date] datetimeoffset NOT NULL);
CREATE INDEX [django_session_expire_date_a5c62663] ON [django_session] ([expire_date]);

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
