// The page's words in Korean.
export const korean = {
  'Skip to the content': '본문으로 건너뛰기', 'Cluster': '클러스터', 'Charts': '차트', 'Keys': '키', 'Watch': '감시', 'Leases': '리스', 'Users': '사용자', 'Load': '부하',
  'Loading…': '불러오는 중…', 'Something is wrong': '문제가 있습니다', 'Light or dark': '밝게 또는 어둡게', 'The member does not answer.': '멤버가 응답하지 않습니다.',
  'You may not do this': '권한이 없습니다', 'Log in': '로그인', 'Log out': '로그아웃', 'Logged in as': '로그인:', 'User': '사용자', 'Password': '비밀번호', 'Cancel': '취소', 'Close': '닫기',
  'This cluster has users. What you see and may change depends on yours.': '이 클러스터에는 사용자가 있습니다. 볼 수 있는 것과 바꿀 수 있는 것은 사용자에 따라 다릅니다.',
  'open to all': '누구나 접근', 'Access is not controlled: everybody may do everything.': '접근 제어가 꺼져 있어 누구나 모든 것을 할 수 있습니다.', 'Access is controlled.': '접근 제어가 켜져 있습니다.',

  'Leader': '리더', 'Members healthy': '정상 멤버', 'Cluster version': '클러스터 버전', 'Revision': '리비전', 'Size': '크기', 'Alarms': '알람', 'Members': '멤버', 'Member': '멤버', 'State': '상태',
  'Role': '역할', 'Version': '버전', 'Applied (behind)': '적용됨 (뒤처짐)', 'Addresses': '주소', 'healthy': '정상', 'unwell': '이상', 'does not answer': '응답 없음', 'dead': '죽음', 'not started': '시작 전',
  'none': '없음', 'not decided': '미정', 'this one': '이 멤버', 'learner': '러너', 'leader': '리더', 'follower': '팔로워', 'in use': '사용 중',

  'Of the member that serves this page, while the page is open.': '이 페이지를 제공하는 멤버의 수치이며, 페이지가 열려 있는 동안 그려집니다.', 'Requests': '요청', 'reads': '읽기', 'writes': '쓰기',
  'Latency of reads': '읽기 지연', 'Latency of writes': '쓰기 지연', 'Log syncs (fsync)': '로그 동기화 (fsync)', 'Watchers': '감시자', 'watchers': '감시자', 'behind': '뒤처짐', 'Events sent': '보낸 이벤트', 'events': '이벤트',
  'on disk': '디스크', 'Traffic': '트래픽', 'received': '받음', 'sent': '보냄', 'Memory': '메모리', 'resident': '상주', 'Processor': '프로세서',

  'Value': '값', 'Prefix, or a text to find': '접두사 또는 찾을 글자', 'Go to prefix': '접두사로 이동', 'Find text': '글자 찾기', 'New key': '새 키', 'Found keys': '찾은 키', 'Look further': '계속 찾기', 'found': '개 찾음',
  'keys looked at': '개 키를 살펴봄', 'all': '전체', 'Looking…': '찾는 중…', 'You may read:': '읽을 수 있는 키:', '(the prefix itself)': '(접두사 자체)', 'keys': '개 키', 'More…': '더 보기…', 'items': '개 항목',
  'There are no keys here.': '여기에는 키가 없습니다.', 'Back to the keys': '키 목록으로', 'There is no such key.': '그런 키가 없습니다.', 'Created at': '생성 리비전', 'Lease': '리스', 'Edit': '편집', 'Delete': '삭제', 'History': '이력',
  'Forms of the value': '값의 형식', 'Secrets are shown.': '비밀 값이 보입니다.', 'This is a Secret: what it holds is hidden.': 'Secret입니다. 내용은 숨겨져 있습니다.', 'Hide': '숨기기', 'Show secrets': '비밀 값 보기',
  'The first part of': '앞부분만 표시:', '(empty)': '(비어 있음)', 'Hidden: it would show the secret.': '비밀 값이 드러나므로 숨겼습니다.', 'Text': '텍스트', 'Hex': '16진수',
  'this is no object': '객체가 아닙니다', 'a field without a name here': '이름을 모르는 필드',

  'Differences': '차이', 'The value is the same.': '값이 같습니다.', 'It differs in what is hidden.': '숨겨진 부분이 다릅니다.', 'removed': '삭제됨', 'added': '추가됨', 'Older versions': '이전 버전', 'versions': '개 버전', 'version': '버전',
  'Changed at revision': '변경된 리비전', 'This version created the key.': '이 버전에서 키가 만들어졌습니다.', 'What was before is compacted.': '그 이전은 압축되어 없습니다.', 'Before that there was no such key.': '그 전에는 이 키가 없었습니다.',
  'The value is too large to be edited here.': '값이 너무 커서 여기서 편집할 수 없습니다.', 'To edit a Secret shows it.': 'Secret을 편집하면 내용이 보입니다.', 'Go on': '계속', 'This cannot be written so.': '이렇게 쓸 수 없습니다.',
  'These are no hexadecimal digits.': '16진수가 아닙니다.', 'Key': '키', '\\xNN stands for a byte, \\\\ for a backslash.': '\\xNN은 바이트, \\\\는 역슬래시입니다.', 'as hexadecimal digits': '16진수로', 'Compare and go on': '비교하고 계속',
  'Write this change?': '이 변경을 쓸까요?', 'Write this new key?': '이 새 키를 쓸까요?', 'Write': '쓰기', 'Written.': '썼습니다.', 'Only if its revision is still': '리비전이 그대로일 때만:', 'Only if there is no such key yet.': '그런 키가 아직 없을 때만.',
  'Edit again': '다시 편집', 'Nothing was changed: somebody else has changed the key meanwhile.': '바뀐 것이 없습니다. 그사이 다른 사람이 키를 바꿨습니다.', 'There now, revision': '현재 값, 리비전', 'There now: no such key': '현재: 키 없음',
  'Yours, not written': '쓰지 못한 값', 'Delete this key?': '이 키를 삭제할까요?', 'Deleted.': '삭제했습니다.',

  'Key or prefix': '키 또는 접두사', 'all keys that begin so': '이렇게 시작하는 모든 키', 'Connecting…': '연결 중…', 'Changes': '변경', 'Stopped.': '멈췄습니다.', 'changes': '개 변경', 'Stop': '멈추기', 'Clear': '지우기',
  'Watching: changes appear here.': '감시 중: 변경이 여기에 나타납니다.', 'The watch has ended.': '감시가 끝났습니다.', 'deleted': '삭제됨', 'created': '생성됨', 'changed': '변경됨', 'revision': '리비전',

  'There are no leases.': '리스가 없습니다.', 'gone': '사라짐', 'leases': '개 리스', 'Time left': '남은 시간', 'Granted for': '부여된 시간', 'Look again': '다시 보기', 'From the first': '처음부터', 'Next page': '다음 쪽', 'All leases': '모든 리스',
  'The lease is gone.': '리스가 사라졌습니다.', 'and more': '그 밖에', 'Revoke': '회수', 'Revoke this lease?': '이 리스를 회수할까요?', 'Revoked.': '회수했습니다.', 'Its keys are deleted': '함께 삭제되는 키',

  'Users and roles': '사용자와 역할', 'all keys': '모든 키', 'everything': '모든 권한', 'Roles': '역할', 'There are no users.': '사용자가 없습니다.', 'Permissions': '권한', 'There are no roles.': '역할이 없습니다.', 'The first': '처음', 'Your roles': '내 역할',

  'Of the member that serves this page, since it started.': '이 페이지를 제공하는 멤버가 시작된 뒤의 수치입니다.', 'Prefixes by keys': '키가 많은 접두사', 'in all': '개', 'not all branches were looked at': '일부 가지는 살펴보지 않음',
  'No prefix has many keys.': '키가 많은 접두사가 없습니다.', 'Prefix': '접두사', 'Share': '비율', 'No requests were counted yet: one of 61 is.': '아직 센 요청이 없습니다. 61개 중 하나를 셉니다.', 'Prefixes by requests': '요청이 많은 접두사',
  'one of 61 is counted': '61개 중 하나를 셈', 'There were no slow requests.': '느린 요청이 없었습니다.', 'Slow requests': '느린 요청', 'When': '시각', 'Took': '걸린 시간', 'Call': '호출', 'Request': '요청',
  'check and encode': '검사와 인코딩', 'agree': '합의', 'apply': '적용', 'agree on a read index': '읽기 인덱스 합의', 'wait until it is applied': '적용될 때까지 대기', 'read and answer': '읽기와 응답',

  'New user': '새 사용자', 'New role': '새 역할', 'Add': '추가', 'Change': '바꾸기', 'Grant': '부여', 'Changed.': '바꿨습니다.', 'New password': '새 비밀번호',
  'The same once more': '한 번 더', 'The passwords differ.': '두 비밀번호가 다릅니다.', 'without a password: by certificate alone': '비밀번호 없이, 인증서로만', 'Change password': '비밀번호 바꾸기',
  'Who is logged in as this user has to log in again.': '이 사용자로 로그인한 사람은 다시 로그인해야 합니다.', 'Grant a role': '역할 부여', 'Revoke this role?': '이 역할을 회수할까요?',
  'Delete this user?': '이 사용자를 삭제할까요?', 'Delete this role?': '이 역할을 삭제할까요?', 'Users who lose it': '이 역할을 잃는 사용자', 'Grant a permission': '권한 부여', 'Revoke this permission?': '이 권한을 회수할까요?',
  'read': '읽기', 'write': '쓰기', 'read and write': '읽기와 쓰기', 'this key alone': '이 키만', 'from this key up to another': '이 키부터 다른 키까지', 'Up to, but without': '이 키 앞까지',
  'Nothing here means to the last key.': '비워 두면 마지막 키까지입니다.', 'What': '무엇을', 'Which keys': '어느 키',
};
