import { createHash } from "node:crypto";

/** Bounds on what one analyst's query may use. Time in seconds, the rest in bytes or rows. */
export interface AnalystLimits {
  maxExecutionSeconds: number;
  maxMemoryBytes: number;
  maxRowsToRead: number;
  maxBytesToRead: number;
  maxResultRows: number;
  maxResultBytes: number;
  maxConcurrentQueries: number;
}

export const defaultAnalystLimits: AnalystLimits = {
  maxExecutionSeconds: 30,
  maxMemoryBytes: 1024 ** 3,
  maxRowsToRead: 1_000_000_000,
  maxBytesToRead: 100 * 1024 ** 3,
  maxResultRows: 1_000_000,
  maxResultBytes: 256 * 1024 ** 2,
  maxConcurrentQueries: 10,
};

/** What the analyst may read in a database. */
export interface AnalystDatabase {
  name: string;
  /** By name: tables and views. Default: all there are, whole. */
  tables?: { readonly [table: string]: AnalystTable };
  /** Dictionaries whose values functions may look up. Default: all. */
  dictionaries?: readonly string[];
}

export interface AnalystTable {
  /** A condition in SQL: other rows are not there. Default: every row. */
  rows?: string;
  /** Default: every column. */
  columns?: readonly string[];
}

export interface ConfigInput {
  dataDirectory: string;
  usersFile: string;
  maxMemoryBytes: number;
}

export function renderConfig(input: ConfigInput): string {
  return `<clickhouse>
  <path>${escapeXml(input.dataDirectory)}</path>
  <tmp_path>${escapeXml(input.dataDirectory)}/tmp/</tmp_path>
  <user_files_path>${escapeXml(input.dataDirectory)}/user_files/</user_files_path>
  <users_config>${escapeXml(input.usersFile)}</users_config>
  <listen_host>127.0.0.1</listen_host>
  <!-- Lower levels would write the text of queries, and with it personal data, to a log. -->
  <logger><level>fatal</level><console>0</console></logger>
  <mlock_executable>false</mlock_executable>
  <max_server_memory_usage>${input.maxMemoryBytes}</max_server_memory_usage>
  <max_concurrent_queries>100</max_concurrent_queries>
  <keep_alive_timeout>30</keep_alive_timeout>
  <!-- Caches and pools for a machine with two cores that has other work to do. -->
  <mark_cache_size>67108864</mark_cache_size>
  <primary_index_cache_size>67108864</primary_index_cache_size>
  <index_mark_cache_size>16777216</index_mark_cache_size>
  <uncompressed_cache_size>0</uncompressed_cache_size>
  <mmap_cache_size>256</mmap_cache_size>
  <background_pool_size>2</background_pool_size>
  <background_merges_mutations_concurrency_ratio>2</background_merges_mutations_concurrency_ratio>
  <background_schedule_pool_size>4</background_schedule_pool_size>
  <background_common_pool_size>2</background_common_pool_size>
  <merge_tree>
    <!-- The defaults reserve more slots than this pool has: big merges and mutations would never be started. -->
    <number_of_free_entries_in_pool_to_lower_max_size_of_merge>1</number_of_free_entries_in_pool_to_lower_max_size_of_merge>
    <number_of_free_entries_in_pool_to_execute_mutation>1</number_of_free_entries_in_pool_to_execute_mutation>
    <number_of_free_entries_in_pool_to_execute_optimize_entire_partition>1</number_of_free_entries_in_pool_to_execute_optimize_entire_partition>
  </merge_tree>
</clickhouse>
`;
}

export interface UsersInput {
  admin: { username: string; password: string };
  analyst: { username: string; password: string };
  analystDatabases: readonly AnalystDatabase[];
  analystLimits: AnalystLimits;
}

/** Settings that change how an answer looks or is sent, never what may be read or how much: ordinary clients send them. */
const harmlessSettings = [
  "enable_http_compression",
  "http_zlib_compression_level",
  "network_compression_method",
  "send_progress_in_http_headers",
  "http_headers_progress_interval_ms",
  "http_wait_end_of_query",
  "http_write_exception_in_output_format",
  "cancel_http_readonly_queries_on_client_close",
  "session_timezone",
  "date_time_output_format",
  "date_time_input_format",
  "log_comment",
  "max_threads",
  "max_block_size",
  "extremes",
  "joined_subquery_requires_alias",
  "join_use_nulls",
  "group_by_use_nulls",
  "aggregate_functions_null_for_empty",
  "prefer_column_name_to_alias",
  "output_format_json_quote_64bit_integers",
  "output_format_json_quote_64bit_floats",
  "output_format_json_quote_decimals",
  "output_format_json_quote_denormals",
  "output_format_json_named_tuples_as_objects",
  "output_format_json_array_of_rows",
  "output_format_native_write_json_as_string",
  "output_format_binary_write_json_as_string",
  "output_format_csv_crlf_end_of_line",
  "output_format_pretty_max_rows",
  "output_format_pretty_color",
  "format_csv_delimiter",
] as const;

export function renderUsers(input: UsersInput): string {
  const limits = input.analystLimits;
  const grants = [
    ...input.analystDatabases.flatMap(grantsOf),
    "GRANT SELECT ON system.numbers",
    "GRANT SELECT ON system.one",
    "GRANT SELECT ON system.build_options",
    "GRANT SELECT ON system.dictionaries",
    "GRANT SELECT ON system.parts",
    "GRANT SELECT ON INFORMATION_SCHEMA.*",
    "GRANT SELECT ON information_schema.*",
  ];
  const capped = {
    max_execution_time: limits.maxExecutionSeconds,
    max_memory_usage: limits.maxMemoryBytes,
    max_rows_to_read: limits.maxRowsToRead,
    max_bytes_to_read: limits.maxBytesToRead,
    max_result_rows: limits.maxResultRows,
    max_result_bytes: limits.maxResultBytes,
  };
  return `<clickhouse>
  <profiles>
    <default/>
    <admin/>
    <!-- The engine's own session is the only one that \`default\` can ever have: it opens it before it listens and keeps it. -->
    <keepalive>
      <max_sessions_for_user>1</max_sessions_for_user>
      <constraints><max_sessions_for_user><readonly/></max_sessions_for_user></constraints>
    </keepalive>
    <analyst>
      <readonly>1</readonly>
      <max_concurrent_queries_for_user>${limits.maxConcurrentQueries}</max_concurrent_queries_for_user>
${Object.entries(capped)
  .map(([name, value]) => `      <${name}>${value}</${name}>`)
  .join("\n")}
      <constraints>
${Object.entries(capped)
  .map(([name, value]) => `        <${name}><min>1</min><max>${value}</max><changeable_in_readonly/></${name}>`)
  .join("\n")}
${harmlessSettings.map((name) => `        <${name}><changeable_in_readonly/></${name}>`).join("\n")}
      </constraints>
    </analyst>
  </profiles>
  <quotas><default/></quotas>
  <users>
    <!-- No password can be set here: the engine logs itself in as \`default\` with an empty one. -->
    <default>
      <password></password>
      ${network}<profile>keepalive</profile><quota>default</quota>
      <grants><query>GRANT SYSTEM LISTEN ON *.*</query></grants>
    </default>
    <${input.admin.username}>
      <password_sha256_hex>${sha256(input.admin.password)}</password_sha256_hex>
      ${network}<profile>admin</profile><quota>default</quota>
      <access_management>1</access_management>
    </${input.admin.username}>
    <${input.analyst.username}>
      <password_sha256_hex>${sha256(input.analyst.password)}</password_sha256_hex>
      ${network}<profile>analyst</profile><quota>default</quota>
      <default_database>${escapeXml(input.analystDatabases[0]?.name ?? "default")}</default_database>
      <grants>${grants.map((grant) => `<query>${escapeXml(grant)}</query>`).join("")}</grants>
      <databases>${input.analystDatabases.map(filtersOf).join("")}</databases>
    </${input.analyst.username}>
  </users>
</clickhouse>
`;
}

function grantsOf({ name, tables, dictionaries }: AnalystDatabase): string[] {
  const database = quoteName(name);
  if (tables === undefined) return [`GRANT SELECT, SHOW, dictGet ON ${database}.*`];
  const columnsOf = ({ columns }: AnalystTable): string =>
    columns === undefined ? "" : `(${columns.map(quoteName).join(", ")})`;
  return [
    // In an empty database nothing is granted yet, and a client still has to be able to choose it.
    `GRANT SHOW DATABASES ON ${database}.*`,
    ...Object.entries(tables).map(
      ([table, given]) => `GRANT SELECT${columnsOf(given)} ON ${database}.${quoteName(table)}`,
    ),
    ...(dictionaries ?? ["*"]).map(
      (dictionary) => `GRANT dictGet ON ${database}.${dictionary === "*" ? "*" : quoteName(dictionary)}`,
    ),
  ];
}

/** ClickHouse takes them as row policies of this user. Names of tables are tags here. */
const filtersOf = ({ name, tables = {} }: AnalystDatabase): string => {
  const filters = Object.entries(tables).flatMap(([table, { rows }]) =>
    rows === undefined ? [] : [`<${table}><filter>${escapeXml(rows)}</filter></${table}>`],
  );
  return filters.length === 0 ? "" : `<${name}>${filters.join("")}</${name}>`;
};

const network = "<networks><ip>127.0.0.1</ip></networks>";

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

const quoteName = (name: string): string => `\`${name.replaceAll("\\", "\\\\").replaceAll("`", "\\`")}\``;

const escapeXml = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
